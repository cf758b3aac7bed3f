"""Takes and restores backups; started by scripts/backup.sh. Standard library only."""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

#: Events are numbered anew far beyond those that came after the dump: whoever watched them then, and goes on from there, misses none of the new ones.
BEYOND = "SELECT setval(pg_get_serial_sequence('metadata.events', 'seq'), (SELECT coalesce(max(seq), 0) + 1000000000 FROM metadata.events))"
SCHEMAS = ("metadata", "storage", "pipeline", "job")
BUCKETS = ("raw", "processed", "jobs")
#: Names that mc leaves out of folders, as it has files of its own and of systems there: such objects go one by one, and lie apart.
SINGLE = ("*.part.minio", "*.DS_Store", "lost+found", "*/lost+found")
#: Only manifests are ever written over, and mc takes two of one size for the same: what may have been written since it was copied is copied again. Clocks differ by seconds.
MANIFEST, CLOCKS = "*.granary/*.json", 3600
#: How mc says that an object stays as it is, as it is not to write over any, and in a comparison that something is on the first side alone.
STAYS, ONLY_FIRST = "Overwrite not allowed", 5


class Wrong(Exception):
    """What was asked for cannot be done; the text says why."""


def setting(name):
    value = os.environ.get(name)
    if not value:
        raise Wrong(f"{name} is not set")
    return value


def database():
    """The environment in which PostgreSQL's programs find the database: on a command line, others would see the password."""
    url = urlparse(setting("GRANARY_DATABASE_URL"))
    if url.scheme not in ("postgres", "postgresql"):
        raise Wrong("GRANARY_DATABASE_URL: expected postgres://; of SQLite, copy the data directory while nothing runs")
    found = {
        "PGHOST": url.hostname, "PGPORT": str(url.port or 5432), "PGUSER": unquote(url.username or ""),
        "PGPASSWORD": unquote(url.password or ""), "PGDATABASE": unquote(url.path.lstrip("/")),
    }
    options = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "ssl-mode": "PGSSLMODE"}
    found |= {options[name]: values[-1] for name, values in parse_qs(url.query).items() if name in options}
    return {**os.environ, **{name: value for name, value in found.items() if value}}


def run(command, env):
    if subprocess.run([str(part) for part in command], env=env, stdin=subprocess.DEVNULL).returncode:
        raise Wrong(f"{Path(command[0]).name} failed")


class Store:
    """The S3 server, by mc, with a folder of settings that goes when it is over."""

    def __init__(self, folder):
        url = urlparse(setting("GRANARY_OBJECT_STORE"))
        self.prefix = url.hostname
        query = parse_qs(url.query)
        region = query.get("region", ["us-east-1"])[0]
        endpoint = urlparse(query.get("endpoint", [f"https://s3.{region}.amazonaws.com"])[0])
        key, secret = setting("AWS_ACCESS_KEY_ID"), setting("AWS_SECRET_ACCESS_KEY")
        self.env = {**os.environ, "MC_HOST_granary": f"{endpoint.scheme}://{key}:{secret}@{endpoint.netloc}"}
        self.folder = folder

    def command(self, *arguments):
        return [os.environ.get("MC", "mc"), "--quiet", "--config-dir", self.folder, *map(str, arguments)]

    def mc(self, *arguments):
        run(self.command(*arguments), self.env)

    def said(self, *arguments):
        """What mc says, line by line; errors are for whoever reads them."""
        with subprocess.Popen(self.command("--json", *arguments), env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode:
            raise Wrong(f"mc {arguments[0]} failed")

    def bucket(self, name):
        return f"granary/{self.prefix}-{name}"

    def mirror(self, source, target, *flags):
        """Copies what is new; how many objects that is, and how many differ and stay."""
        copied = stay = 0
        exclude = [f"--exclude={pattern}" for pattern in SINGLE]
        for line in self.said("mirror", *flags, *exclude, source, target):
            reason = reason_of(line)
            if reason and STAYS not in reason:
                raise Wrong(f"{source} could not be copied to {target}: {reason}")
            stay += bool(reason)
            copied += "source" in line
        return copied, stay

    def missing(self, source, target):
        """What is in the source and not in the target: mc passes over what it has no permission for, and does not fail."""
        for line in self.said("diff", source, target):
            if reason := reason_of(line):
                raise Wrong(f"{source} could not be compared with {target}: {reason}")
            if line.get("diff") == ONLY_FIRST and not is_single(line["first"]):
                yield line["first"]

    def listed(self, bucket):
        """Keys of a bucket, and when each was written."""
        for line in self.said("ls", "--recursive", bucket):
            if reason := reason_of(line):
                raise Wrong(f"{bucket} could not be listed: {reason}")
            if {"..", "."} & set(line["key"].split("/")) or line["key"].startswith("/"):
                raise Wrong(f"{bucket} holds {line['key']!r}, which as a file would lie elsewhere: remove it")
            if line["type"] == "file" and "" not in line["key"].split("/"):
                yield line["key"], moment(line["lastModified"])

    def copy(self, source, target):
        for line in self.said("cp", source, target):
            if reason := reason_of(line):
                raise Wrong(f"{source} could not be copied to {target}: {reason}")

    def has(self, place):
        return subprocess.run(self.command("stat", place), env=self.env, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def reason_of(line):
    """Why something failed, if a line of mc says that."""
    if line.get("status") != "error":
        return None
    error = line.get("error", {})
    return error.get("cause", {}).get("message") or error.get("message") or "mc does not say why"


def moment(text):
    """Seconds since 1970; fractions and `Z` are more than older versions of Python read."""
    return datetime.fromisoformat(re.sub(r"\.\d+", "", text).replace("Z", "+00:00")).timestamp()


def is_single(name):
    return any(fnmatchcase(name, pattern) for pattern in SINGLE)


def take_bucket(store, bucket, folder, apart):
    """Copies what is new in a bucket."""
    folder.mkdir(parents=True, exist_ok=True)
    singles, renewed = [], []
    # Before anything is copied: mc would follow where a key leads.
    for key, written in store.listed(bucket):
        if is_single(key):
            singles.append(key)
        elif fnmatchcase(key, MANIFEST) and (folder / key).is_file() and written > (folder / key).stat().st_mtime - CLOCKS:
            renewed.append(key)
    copied, _ = store.mirror(bucket, folder, "--overwrite")
    for key in renewed:
        # The one that is there stays until the other is whole.
        new = folder.with_name(f"{folder.name}.new")
        store.copy(f"{bucket}/{key}", new)
        copied += new.read_bytes() != (folder / key).read_bytes()
        new.rename(folder / key)
    if missed := set(store.missing(bucket, folder)):
        # What came meanwhile comes now; what does not come twice does not come.
        copied += store.mirror(bucket, folder, "--overwrite")[0]
        complain(missed.intersection(store.missing(bucket, folder)), "could not be read")
    for key in singles:
        # Files are written once.
        if not (apart / key).is_file():
            (apart / key).parent.mkdir(parents=True, exist_ok=True)
            store.copy(f"{bucket}/{key}", apart / key)
            copied += 1
    print(f"backup: {bucket.removeprefix('granary/')}: {copied} objects copied", flush=True)


def restore_bucket(store, bucket, folder, apart):
    """Puts into a bucket what it lacks. What is there stays: it is what was there, or newer."""
    store.mc("mb", "--ignore-existing", bucket)
    copied, stay = store.mirror(folder, bucket)
    complain(store.missing(folder, bucket), "could not be written")
    for file in (file for file in apart.rglob("*") if file.is_file()):
        target = f"{bucket}/{file.relative_to(apart).as_posix()}"
        if not store.has(target):
            store.copy(file, target)
            copied += 1
    other = f", {stay} that are there with another size stay" if stay else ""
    print(f"backup: {bucket.removeprefix('granary/')}: {copied} objects copied{other}", flush=True)


def complain(missed, why):
    """Fails if anything is missing."""
    if missed := sorted(missed):
        raise Wrong(f"{len(missed)} objects {why}, such as {missed[0]}")


def no_links(folder):
    """Fails if anything in a backup is a link: what is read or written would be elsewhere."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_symlink():
            raise Wrong(f"{path} is a symbolic link: a backup holds none")


def take(folder, arguments, store):
    env = database()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    no_links(folder)
    new = folder / "database.new"
    # One pg_dump is one snapshot: what the services say of each other fits together.
    run(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", *(f"--schema={name}" for name in SCHEMAS), f"--file={new}"], env)
    new.chmod(0o600)
    if key := os.environ.get("GRANARY_SIGNING_KEY_FILE"):
        shutil.copyfile(key, folder / "signing-key")
        (folder / "signing-key").chmod(0o600)
    # After the database: all that it knows is there then.
    if not arguments.database_only:
        for name in BUCKETS:
            take_bucket(store, store.bucket(name), folder / "buckets" / name, folder / "single" / name)
    # Until all is there, the dump of before counts: with buckets that are newer it can be restored.
    new.rename(folder / "database.dump")


def restore(folder, arguments, store):
    env = database()
    dump = folder / "database.dump"
    if not dump.is_file():
        raise Wrong(f"{dump} is not there")
    no_links(folder)
    names = ", ".join(f"'{name}'" for name in SCHEMAS)
    query = f"SELECT count(*) FROM pg_namespace WHERE nspname IN ({names})"
    found = subprocess.run(["psql", "--no-psqlrc", "-Atc", query], env=env, capture_output=True, text=True)
    if found.returncode:
        raise Wrong(found.stderr.strip())
    if found.stdout.strip() != "0":
        raise Wrong("the database holds Granary's schemas already: restore into an empty one")
    if not arguments.database_only:
        for name in BUCKETS:
            restore_bucket(store, store.bucket(name), folder / "buckets" / name, folder / "single" / name)
    load(dump, env)


def load(dump, env):
    """All of a dump, and where events go on, in one transaction: half of it is nothing."""
    made = subprocess.Popen(["pg_restore", "--no-owner", "--no-privileges", "--file=-", str(dump)], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    command = ["psql", "--no-psqlrc", "--quiet", "--output=/dev/null", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-"]
    psql = subprocess.Popen(command, env=env, stdin=subprocess.PIPE)
    # It ends early where it fails, and says why.
    with contextlib.suppress(BrokenPipeError):
        shutil.copyfileobj(made.stdout, psql.stdin)
    made.stdout.close()
    if failed := made.wait():
        # What has come so far is not all: it is not to be kept.
        psql.kill()
    with contextlib.suppress(BrokenPipeError):
        psql.stdin.write(f"\n{BEYOND};\n".encode())
    with contextlib.suppress(BrokenPipeError):
        psql.stdin.close()
    if psql.wait() or failed:
        raise Wrong("the dump could not be restored; nothing of it is in the database")


def main():
    parser = argparse.ArgumentParser(prog="backup", description="Takes and restores backups.")
    parser.add_argument("verb", choices=("take", "restore"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--database-only", action="store_true", help="leaves the buckets out")
    arguments = parser.parse_args()
    # All that is written is for its owner alone, in a folder that was there before too.
    os.umask(0o077)
    verb = {"take": take, "restore": restore}[arguments.verb]
    try:
        with tempfile.TemporaryDirectory(prefix="granary-backup.") as settings:
            verb(arguments.folder, arguments, None if arguments.database_only else Store(settings))
    except Wrong as wrong:
        sys.exit(f"backup: {wrong}")
    done = {"take": "taken", "restore": "restored: run granary admin reindex before anything starts"}
    print(f"backup: {done[arguments.verb]}")


if __name__ == "__main__":
    main()
