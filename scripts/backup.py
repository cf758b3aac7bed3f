"""Takes and restores backups; started by scripts/backup.sh. Standard library only."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

#: Events are numbered anew far beyond those that came after the dump: whoever watched them then, and goes on from there, misses none of the new ones.
BEYOND = "SELECT setval(pg_get_serial_sequence('metadata.events', 'seq'), (SELECT coalesce(max(seq), 0) + 1000000000 FROM metadata.events))"
SCHEMAS = ("metadata", "storage", "pipeline", "job")
BUCKETS = ("raw", "processed", "jobs")


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

    def mc(self, *arguments):
        run([os.environ.get("MC", "mc"), "--quiet", "--config-dir", self.folder, *arguments], self.env)

    def bucket(self, name):
        return f"granary/{self.prefix}-{name}"


def take(folder, arguments, store):
    env = database()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = folder / "database.new"
    # One pg_dump is one snapshot: what the services say of each other fits together.
    run(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", *(f"--schema={name}" for name in SCHEMAS), f"--file={new}"], env)
    new.chmod(0o600)
    new.rename(folder / "database.dump")
    if key := os.environ.get("GRANARY_SIGNING_KEY_FILE"):
        shutil.copyfile(key, folder / "signing-key")
        (folder / "signing-key").chmod(0o600)
    # After the database: all that it knows is there then. Only manifests are ever written over.
    if not arguments.database_only:
        for name in BUCKETS:
            (folder / "buckets" / name).mkdir(parents=True, exist_ok=True)
            store.mc("mirror", "--overwrite", store.bucket(name), folder / "buckets" / name)


def restore(folder, arguments, store):
    env = database()
    dump = folder / "database.dump"
    if not dump.is_file():
        raise Wrong(f"{dump} is not there")
    names = ", ".join(f"'{name}'" for name in SCHEMAS)
    query = f"SELECT count(*) FROM pg_namespace WHERE nspname IN ({names})"
    found = subprocess.run(["psql", "--no-psqlrc", "-Atc", query], env=env, capture_output=True, text=True)
    if found.returncode:
        raise Wrong(found.stderr.strip())
    if found.stdout.strip() != "0":
        raise Wrong("the database holds Granary's schemas already: restore into an empty one")
    if not arguments.database_only:
        for name in BUCKETS:
            store.mc("mb", "--ignore-existing", store.bucket(name))
            # What is there stays: it is what was there, or newer.
            store.mc("mirror", folder / "buckets" / name, store.bucket(name))
    run(["pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", f"--dbname={env['PGDATABASE']}", dump], env)
    run(["psql", "--no-psqlrc", "--quiet", "--output=/dev/null", "-c", BEYOND], env)


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
