"""`make sizing`: what a session, an asset and a call cost, measured service by service: the figures of docs/sizing.md and of scripts/cost.py.

    python3 scripts/sizing.py [--large N] [--parted N] [--small N] [--calls N]

Every service as a process of its own behind Envoy, on PostgreSQL and MinIO. First N sessions of 600 MB in 1,000 files, then N of 600 MB in 20 files, which
are sent in parts, then N of ten small files and a picture, all through the pipeline of the examples, then calls as people make them. Of each process: seconds of a processor and the most memory.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import random
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlparse

import main_job
from fleet import Fleet
from granary_process import Failed
from smoke import outside

TICKS = os.sysconf("SC_CLK_TCK")
LARGE_FILES, LARGE_BYTES = 1000, 600_000
PARTED_FILES, PARTED_BYTES = 20, 30_000_000
SMALL_FILES, SMALL_BYTES = 10, 6_000
IDLE_SECONDS = 20
SETTLE_SECONDS = 11
PICTURE = main_job.EXAMPLES / "data" / "images" / "face.jpg"


def stat(pid):
    """Parent, and processor seconds of a process and of its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[1]), sum(map(int, fields[11:15])) / TICKS


def processes():
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found[int(folder.name)] = (folder / "comm").read_text().strip(), *stat(folder.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def server_at(port, name):
    """The process, by the name of its program, that listens on a port."""
    inodes = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[1].endswith(f":{port:04X}")}
    for pid, (program, parent, _) in processes().items():
        if program.startswith(name):
            try:
                links = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
            except OSError:
                continue
            if any(f"socket:[{inode}]" in links for inode in inodes):
                return pid
    raise Failed(f"nobody called {name} listens on port {port}")


def memory(pid):
    """Resident memory now and at most, in MiB. What it shares with others counts too."""
    status = Path(f"/proc/{pid}/status").read_text()
    return tuple(round(int(re.search(rf"{name}:\s+(\d+)", status)[1]) / 1024) for name in ("VmRSS", "VmHWM"))


class Watch:
    """What each process used from one look to the next."""

    def __init__(self, pids, database):
        self.pids, self.database = pids, database
        self.before = self.seconds()

    def seconds(self):
        everything = processes()
        used = {name: everything[pid][2] for name, pid in self.pids.items()}
        # Connections are processes of their own, whose parent is the one that listens.
        used["postgresql"] += sum(seconds for _, parent, seconds in everything.values() if parent == self.pids["postgresql"])
        return used

    def begin(self):
        for pid in self.pids.values():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self.before, self.since = self.seconds(), time.monotonic()

    def say(self, what, count):
        """Processor time by process, for each of `count`."""
        took, after = time.monotonic() - self.since, self.seconds()
        print(f"\n{what}: {took:.1f} s", flush=True)
        for name, pid in self.pids.items():
            used, (now, most) = after[name] - self.before[name], memory(pid)
            # What connections of PostgreSQL hold is mostly shared, and cannot be added up.
            held = "" if name == "postgresql" else f"; {now:4} MiB now, {most:4} MiB at most"
            print(f"  {name:<12} {1000 * used / count:9.2f} ms of a processor each, {used / took:5.2f} of one meanwhile{held}")
        print(f"  database     {self.size():,} bytes", flush=True)

    def size(self):
        command = ["psql", self.database, "-tAc", "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
                   "WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema')"]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def tables(self):
        command = ["psql", self.database, "-tAF ", "-c", "SELECT nspname || '.' || relname, pg_total_relation_size(c.oid), reltuples::bigint FROM pg_class c JOIN pg_namespace n "
                   "ON n.oid = relnamespace WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 2 DESC LIMIT 12"]
        subprocess.run(["psql", self.database, "-qc", "ANALYZE"], check=True)
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def requests(store):
    """How often MinIO was asked for what so far, and the bytes that it took and gave."""
    # It answers with what it counted up to 10 seconds ago.
    time.sleep(SETTLE_SECONDS)
    try:
        page = urllib.request.urlopen(f"http://{store}/minio/v2/metrics/cluster", timeout=5).read().decode()
    except OSError:
        return {}
    found = {name: int(float(count)) for name, count in re.findall(r'minio_s3_requests_total\{api="(\w+)"[^}]*\} (\S+)', page)}
    for name in ("received", "sent"):
        if match := re.search(rf"minio_s3_traffic_{name}_bytes\{{[^}}]*\}} (\S+)", page):
            found[f"{name} bytes"] = int(float(match[1]))
    return found


def difference(after, before, count):
    return ", ".join(f"{name} {(value - before.get(name, 0)) / count:,.1f}" for name, value in sorted(after.items()) if value != before.get(name, 0))


def make(folder, number, files, size, chance, picture):
    session = folder / f"s{files}_{number:04}"
    (session / "signals").mkdir(parents=True)
    for file in range(files):
        (session / "signals" / f"{file:04}.bin").write_bytes(chance.randbytes(size))
    if picture:
        shutil.copy(PICTURE, session / "face.jpg")
    listed = sorted(path.relative_to(session).as_posix() for path in session.rglob("*") if path.is_file())
    (session / "metadata.json").write_text(json.dumps({"fatigue": 1 + number % 5, "hardware_model": f"X{number % 3}", "number": number, "files": listed}))
    return session


def send(fleet, folder, numbers, files, size, users, picture):
    """Sends sessions, some at once, and waits until the pipeline is done with each."""
    chance = random.Random(files)

    def one(number):
        session = make(folder, number, files, size, chance, picture)
        cli = fleet.cli()
        cli.run("upload", session, "--dataset", main_job.DATASET)
        cli.run("session", "wait", f"{main_job.DATASET}/{session.name}")
        shutil.rmtree(session)

    with concurrent.futures.ThreadPoolExecutor(users) as pool:
        list(pool.map(one, numbers))


class Person(threading.local):
    """A connection through the ingress, for each thread its own."""

    def __init__(self, fleet):
        context = ssl.create_default_context(cafile=fleet.folder / "tls" / "ca.crt")
        address = urlparse(fleet.envoy.endpoint)
        self.connection = http.client.HTTPSConnection(address.hostname, address.port, context=context)
        self.headers = {"authorization": f"Bearer {fleet.token.read_text()}", "content-type": "application/json"}

    def call(self, method, path, body=None):
        self.connection.request(method, path, json.dumps(body) if body else None, self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise Failed(f"{method} {path}: {answer.status} {text[:200]}")
        return json.loads(text)


def use(fleet, calls):
    """Calls as a page that shows sessions makes them: a list, one of them, its pictures, where one can be read."""
    person = Person(fleet)
    base = "/v1/projects/default"
    sessions = f"{base}/datasets/{main_job.DATASET}/sessions"
    query = quote('attributes.fatigue > 3 AND attributes.hardware_model = "X2"')
    assets = person.call("GET", f"{base}/datasets/processed/assets?page_size=20&filter={query}")["assets"]
    session = person.call("GET", f"{sessions}?page_size=20")["sessions"][0]["name"]
    kinds = [
        lambda: person.call("GET", f"{sessions}?page_size=20"),
        lambda: person.call("GET", f"/v1/{session}"),
        lambda: person.call("GET", f"{base}/datasets/processed/assets?page_size=20&filter={query}"),
        lambda: person.call("POST", f"{base}/downloads:batchCreate", {"assets": [asset["name"] for asset in assets]}),
    ]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: kinds[number % len(kinds)](), range(calls)))


def run(arguments, work):
    servers = outside("sizing")
    if not servers:
        raise Failed("PostgreSQL and MinIO are needed: run scripts/sizing.sh")
    database = servers[1]["GRANARY_DATABASE_URL"]
    store = urlparse(os.environ["GRANARY_TEST_S3"])
    with Fleet(work, *servers, replicas=1) as fleet:
        fleet.start()
        main_job.apply(fleet.cli())
        pids = {replica.role: replica.process.pid for replica in fleet.replicas}
        pids |= {"envoy": fleet.envoy.process.pid, "postgresql": server_at(urlparse(database).port, "postgres"), "minio": server_at(store.port, "minio")}
        watch, where = Watch(pids, database), f"{store.hostname}:{store.port}"

        def measure(what, count, work_of):
            if not count:
                return
            asked = requests(where)
            watch.begin()
            work_of()
            watch.say(what, count)
            print(f"  store, each: {difference(requests(where), asked, count)}", flush=True)

        measure(f"nothing for {IDLE_SECONDS} s, of each second", IDLE_SECONDS, lambda: time.sleep(IDLE_SECONDS))
        send(fleet, work, [9999], 1, 10, 1, False)
        measure(f"{arguments.large} sessions of {LARGE_FILES} files of {LARGE_BYTES} bytes", arguments.large,
                lambda: send(fleet, work, range(arguments.large), LARGE_FILES, LARGE_BYTES, 1, False))
        measure(f"{arguments.parted} sessions of {PARTED_FILES} files of {PARTED_BYTES} bytes", arguments.parted,
                lambda: send(fleet, work, range(arguments.parted), PARTED_FILES, PARTED_BYTES, 1, False))
        measure(f"{arguments.small} sessions of {SMALL_FILES} files and a picture, 4 at once", arguments.small,
                lambda: send(fleet, work, range(arguments.small), SMALL_FILES, SMALL_BYTES, 4, True))
        measure(f"{arguments.calls} calls of people, 8 at once", arguments.calls, lambda: use(fleet, arguments.calls))
        watch.tables()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--large", type=int, default=3)
    arguments.add_argument("--parted", type=int, default=3)
    arguments.add_argument("--small", type=int, default=200)
    arguments.add_argument("--calls", type=int, default=4000)
    arguments = arguments.parse_args()
    work = Path(tempfile.mkdtemp(prefix="granary-sizing."))
    try:
        run(arguments, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("sizing: ok")


if __name__ == "__main__":
    main()
