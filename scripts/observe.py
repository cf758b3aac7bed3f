"""Whether what dashboards show and alerts go by is there: a real Prometheus scrapes Granary while it works, and is asked for every expression.

    python3 scripts/observe.py [--targets HOST:PORT,...] [--patience SECONDS] [--keep]

Without --targets a platform of its own is started, and used. With them, somebody else has to use it meanwhile. `make e2e` does the same in a cluster.
The last line is `observe: ok, N expressions return data`.
"""

import argparse
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from pathlib import Path

import main_job
from drill import Disturbance, work_folder
from expressions import of_dashboards, operands, selectors
from granary_process import ROOT, Cli, Failed, Server, free_port
from prometheus import Host, Prometheus, processes

PICTURE = ROOT / "examples" / "data" / "images" / "face.jpg"
APPLICATION = """
observed:
  v1:
    well:
      app: {cmd: [python3, -V]}
      handler: {image_url: "docker.io/library/python:3.13-slim"}
      resources: {memory: 64MiB, timeout: 2m}
    badly:
      app: {cmd: [python3, -c, "raise SystemExit(3)"]}
      handler: {image_url: "docker.io/library/python:3.13-slim"}
      resources: {memory: 64MiB, timeout: 2m}
    hungry:
      app: {cmd: [python3, -c, "data = bytearray(400 << 20); print(len(data))"]}
      handler: {image_url: "docker.io/library/python:3.13-slim"}
      resources: {memory: 64MiB, timeout: 2m}
"""


class Users(Disturbance):
    """People at work, up to the end of a `with`: sessions, good and bad jobs, downloads, calls that are refused, of all that is measured a little."""

    what = "the work to be measured"

    def __init__(self, cli, folder):
        super().__init__()
        self.cli, self.folder = cli, Path(folder)

    def disturb(self):
        self.folder.mkdir(parents=True)
        self.prepare()
        for number in itertools.count():
            if self.over.is_set():
                return
            self.work(number)

    def prepare(self):
        catalog = self.folder / "observed.yaml"
        catalog.write_text(APPLICATION)
        main_job.apply(self.cli)
        self.cli.run("app", "apply", "-f", catalog)
        self.cli.run("project", "create", "narrow", codes=(0, 1))
        self.cli.run("project", "quota", "set", "narrow", "--max-daily-requests", "1")
        key = self.cli.json("api-key", "create", "--role", "viewer", "--project", "narrow")["secret"]
        self.machine = Cli(self.cli.endpoint, self.cli.token_file, {**self.cli.more, "GRANARY_API_KEY": key, "GRANARY_TOKEN": "", "GRANARY_PROJECT": "narrow"})
        self.stranger = Cli(self.cli.endpoint, self.cli.token_file, {**self.cli.more, "GRANARY_TOKEN": "nonsense"})

    def work(self, number):
        session = self.folder / "sent" / f"observed_{number:03}"
        session.mkdir(parents=True)
        shutil.copy(PICTURE, session / "face.jpg")
        # Each other one lacks what it lists, and is rejected.
        files = ["face.jpg", *(["lost.bin"] if number % 2 else [])]
        (session / "metadata.json").write_text(json.dumps({"fatigue": 1, "hardware_model": "X1", "number": number, "files": files}))
        name = f"{main_job.DATASET}/{session.name}"
        self.cli.run("upload", session, "--dataset", main_job.DATASET)
        self.cli.run("session", "wait", name, codes=(0, 1))
        self.cli.run("download", "--session", name, "--to", self.folder / "back")
        entrypoint = ("well", "badly", "hungry")[number % 3]
        job = f"{entrypoint}-{number}-{int(time.time())}"
        self.cli.run("job", "submit", "--app", "observed", "--version", "v1", "--entrypoint", entrypoint, "--job-id", job)
        self.cli.run("job", "wait", job, codes=(0, 1))
        # Refused, and so not asked whether they went well.
        for refused in (self.machine, self.stranger):
            refused.start("session", "list", "--dataset", main_job.DATASET).communicate()


def asked(rules):
    """(where, expression) of everything that has to return data."""
    yield from of_dashboards()
    for rule in rules:
        for piece in operands(rule["query"]) if rule["type"] == "alerting" else [rule["query"]]:
            yield rule["name"], piece


def await_data(prometheus, patience, check=lambda: None):
    """Asks until each expression has returned data once; how many there are. Fails, with those that have not, when the time is over."""
    until = time.monotonic() + patience
    pending = everything = list(asked(prometheus.rules()))
    while pending:
        pending = [(where, expression) for where, expression in pending if not prometheus.samples(expression)]
        check()
        if pending and time.monotonic() > until:
            down = [f"{url} is {health}: {why}" for url, health, why in prometheus.targets() if health != "up"]
            told = "\n  ".join([*down, *(f"{where}: {' '.join(expression.split())}" for where, expression in pending)])
            raise Failed(f"{len(pending)} of {len(everything)} expressions return nothing:\n  {told}")
        time.sleep(0.2)
    return everything


def look_closer(prometheus, everything):
    """What an answer alone does not show: `x or 0 * y` always answers, whatever x is called. Returns the conditions that nothing has met, such as
    codes of failures that did not happen."""
    broken = [f"{rule['name']}: {rule.get('lastError')}" for rule in prometheus.rules() if rule["health"] != "ok"]
    unmet = set()
    for metric, labels, selector in {(m, tuple(ls), s) for _, expression in everything for m, ls, s in selectors(expression)}:
        # Such as workers, where there are none.
        missing = prometheus.samples(f"count({metric})") and [label for label in labels if label != "le" and not prometheus.samples(f'count({metric}{{{label}!=""}})')]
        broken += [f"{selector}: {metric} has no label {label}" for label in missing]
        if not missing and not prometheus.samples(f"count({selector})"):
            unmet.add(selector)
    if broken:
        raise Failed("rules and conditions that cannot hold:\n  " + "\n  ".join(sorted(set(broken))))
    return sorted(unmet)


def observe(prometheus, patience=180, check=lambda: None):
    """The figures: how many expressions return data, of how many processes."""
    everything = await_data(prometheus, patience, check)
    unmet = look_closer(prometheus, everything)
    for selector in unmet:
        print(f"  nothing like it has happened: {selector}", flush=True)
    for labels, _ in prometheus.samples("ALERTS"):
        print(f"  {labels['alertstate']}: {labels['alertname']}", flush=True)
    return f"{len(everything)} expressions return data, of {prometheus.processes()} processes"


def program(name):
    tools = ROOT / "scripts" / "tools.sh"
    subprocess.run([tools, name], check=True)
    return subprocess.run([tools, "path", name], check=True, capture_output=True, text=True).stdout.strip()


def run(arguments, work):
    with contextlib.ExitStack() as stack:
        targets, check = arguments.targets, lambda: None
        if not targets:
            targets = [f"127.0.0.1:{free_port()}"]
            server = Server(work / "data", ["--metrics-listen", targets[0]], log=work / "server.log").start()
            stack.callback(server.stop)
            users = stack.enter_context(Users(server.cli(), work / "users"))
            check = users.check
        host = stack.enter_context(Host(program("node_exporter"), work / "host"))
        prometheus = stack.enter_context(Prometheus(program("prometheus"), work / "prometheus", processes(targets), host.scrape()))
        return observe(prometheus, arguments.patience, check)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=lambda text: text.split(","), help="where metrics are told, such as 127.0.0.1:9090,127.0.0.1:9091")
    parser.add_argument("--patience", type=float, default=180, help="after how many seconds everything has to have returned data once")
    parser.add_argument("--keep", action="store_true", help="keep the data of a failure")
    arguments = parser.parse_args()
    begin = time.monotonic()
    with work_folder("observe", arguments) as work:
        figures = run(arguments, work)
    print(f"observe: ok, {figures}, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
