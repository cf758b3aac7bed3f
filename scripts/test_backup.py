"""`make test-backup`: a platform loses its database, its buckets or both, and is compared row by row and file by file with what it was."""

import argparse
import json
import os
import subprocess
import time
from urllib.parse import urlparse

import chaos
import main_job
from drill import work_folder
from granary_process import ROOT, Failed, Server, program

FOLDERS = ("20210229_161221", "20210301_094507", "20210302_181530")
#: What is in the buckets; everything else is in the database alone.
IN_BUCKETS = ("projects", "datasets", "sessions", "assets")
ODD = ("half.part.minio", "half", "lost+found", "deep/lost+found", "deep/é +%20.part.minio")


class World:
    """A platform on PostgreSQL and MinIO, whose database can be another one."""

    def __init__(self, folder):
        self.folder = folder
        self.name = f"backup{os.getpid()}"
        self.databases = 0
        self.postgres = os.environ["GRANARY_TEST_POSTGRES"]
        self.s3 = urlparse(os.environ["GRANARY_TEST_S3"])
        self.server = None
        self.another_database()

    def another_database(self):
        """An empty one."""
        self.databases += 1
        name = f"{self.name}_{self.databases}"
        done = subprocess.run([postgres_program("psql"), self.postgres, "-qc", f"CREATE DATABASE {name}"], capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"cannot make a database: {done.stderr.strip()}")
        self.database = urlparse(self.postgres)._replace(path=f"/{name}").geturl()

    def mc(self, *arguments, text=None):
        """What mc says, which knows the server as `s3`."""
        env = {**os.environ, "MC_HOST_s3": os.environ["GRANARY_TEST_S3"].rstrip("/")}
        command = [os.environ["GRANARY_TEST_MC"], "--config-dir", str(self.folder / "mc"), *arguments]
        done = subprocess.run(command, env=env, input=text, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"mc {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def lose_buckets(self):
        for bucket in ("raw", "processed", "jobs"):
            self.mc("rb", "--force", f"s3/{self.name}-{bucket}")

    def env(self):
        return {
            **os.environ, "GRANARY_DATABASE_URL": self.database, "AWS_ACCESS_KEY_ID": self.s3.username, "AWS_SECRET_ACCESS_KEY": self.s3.password,
            "GRANARY_OBJECT_STORE": f"s3://{self.name}?endpoint=http://{self.s3.hostname}:{self.s3.port}", "MC": os.environ["GRANARY_TEST_MC"],
        }

    def start(self):
        self.server = Server(self.folder / "data", env=self.env(), log=self.folder / "server.log").start()
        return self.server.cli()

    def stop(self):
        self.server.stop()
        self.server = None

    def backup(self, *arguments, **env):
        """What it says."""
        command = [ROOT / "scripts" / "backup.sh", *map(str, arguments)]
        done = subprocess.run(command, env=self.env() | env, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"backup.sh {arguments[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def reindex(self, *flags):
        """The findings and the summary of a run."""
        command = [program(), "admin", "reindex", "--output", "json", *flags]
        done = subprocess.run(command, env=self.env(), capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"granary admin reindex ended with {done.returncode}: {done.stdout}{done.stderr}")
        *findings, summary = [json.loads(line) for line in done.stdout.splitlines()]
        return findings, summary


def postgres_program(name):
    folder = subprocess.run([ROOT / "scripts" / "tools.sh", "path", "postgres"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{folder}/{name}"


def everything(cli):
    """What the API says is there, each thing by its name."""
    def listed(noun, plural=None, *arguments):
        found = cli.json(noun, "list", *arguments).get(plural or f"{noun}s", [])
        return {item["name"]: item for item in found}

    found = {
        "projects": listed("project"), "datasets": listed("dataset"), "sessions": listed("session"), "snapshots": listed("snapshot"),
        "pipelines": listed("pipeline"), "runs": listed("run"), "jobs": listed("job"), "members": listed("member"), "api keys": listed("api-key", "api_keys"),
    }
    found["assets"] = {}
    for dataset in found["datasets"]:
        found["assets"] |= {asset["name"]: asset for asset in main_job.assets(cli, dataset.split("/")[-1])}
    found["labels"] = {}
    for name in found["assets"]:
        found["labels"] |= {label["name"]: label for label in cli.json("label", "list", name).get("labels", [])}
    found["snapshot assets"] = {name: cli.json("snapshot", "assets", name) for name in found["snapshots"]}
    found["job logs"] = {name: cli.run("job", "logs", name) for name in found["jobs"]}
    quota = cli.json("project", "quota", "get")
    found["held"] = {name: quota.get(name, 0) for name in ("used_bytes", "used_objects", "max_objects")}
    return found


def fetched(cli, world, sessions, into):
    """The digests of all files of sessions, as they are downloaded."""
    digests = {}
    for name in sessions:
        folder = world.folder / into / main_job.short(name)
        cli.run("download", "--session", main_job.short(name), "--to", folder)
        digests |= {f"{name}/{path}": chaos.digest(file) for path, file in chaos.files_below(folder).items()}
    return digests


def compare(wanted, found, parts):
    """Compares row by row; how many rows there are."""
    for part in parts:
        chaos.expect(part, wanted[part], found[part])
    return sum(len(wanted[part]) for part in parts)


def odd_session(folder):
    """Files that mc takes for its own or the system's where it finds them in a folder."""
    for name in ODD:
        file = folder / "odd" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return folder / "odd"


def fill(cli, folder):
    main_job.apply(cli)
    main_job.ingest(cli, [ROOT / "examples" / "data" / name for name in FOLDERS])
    main_job.ingest(cli, [odd_session(folder)], flags=("--no-metadata",))
    cli.run("member", "add", "--subject", "ada", "--role", "editor")
    cli.run("api-key", "create", "--role", "viewer", "for the backup")
    cli.run("project", "quota", "set", "--max-objects", "100000")
    picture = next(asset for asset in main_job.query(cli) if asset["media_type"] == "image/jpeg")
    main_job.label(cli, picture["name"], "eyes-open")
    main_job.label(cli, picture["name"], "face", box=(1, 1, 8, 8))
    main_job.freeze(cli)
    main_job.submit(cli)


def settled(cli, world):
    """Once the store says what the database says: manifests are written soon after what they tell of."""
    end = time.monotonic() + 60
    while True:
        found, summary = world.reindex("--dry-run")
        if not found and summary["sessions"]["made"] == 0:
            return everything(cli)
        if time.monotonic() > end:
            raise Failed(f"the manifests do not say what the database says: {found[:3]} {summary}")


def from_dump(world):
    """Database and buckets are lost, and restored from a backup."""
    cli = world.start()
    fill(cli, world.folder)
    before = settled(cli, world)
    chaos.expect("kinds of which there is nothing to lose", [], [part for part, found in before.items() if not found])
    files = fetched(cli, world, before["sessions"], "before")
    chaos.expect("odd files that are not there", [], [name for name in ODD if not any(file.endswith(f"/odd/{name}") for file in files)])
    # Whoever makes the folder: what comes into it is for its owner alone.
    (world.folder / "backup").mkdir(mode=0o755)
    world.backup("take", world.folder / "backup")
    chaos.expect("what others may read", [], [str(path) for path in (world.folder / "backup").rglob("*") if path.stat().st_mode & 0o077])
    written_over(world)
    world.stop()
    world.lose_buckets()
    world.another_database()
    world.backup("restore", world.folder / "backup")
    found, summary = world.reindex()
    chaos.expect("what reindex finds after a restoration", ([], 0), (found, summary["sessions"]["made"]))
    cli = world.start()
    rows = compare(before, everything(cli), before)
    chaos.expect("the files", files, fetched(cli, world, before["sessions"], "restored"))
    return before, files, rows


def written_over(world):
    """A manifest that is written over by one of the same size is copied again."""
    place = f"s3/{world.name}-raw/default/.granary/project.json"
    copied = world.folder / "backup" / "buckets" / "raw" / "default" / ".granary" / "project.json"
    manifest = world.mc("cat", place)
    world.mc("pipe", place, text=manifest.swapcase())
    world.backup("take", world.folder / "backup")
    chaos.expect("the manifest that was written over", manifest.swapcase(), copied.read_text("utf-8"))
    world.mc("pipe", place, text=manifest)
    world.backup("take", world.folder / "backup")
    chaos.expect("the manifest as it was", manifest, copied.read_text("utf-8"))


def from_buckets(world, before, files):
    """The database is lost, and there is no dump."""
    world.stop()
    world.another_database()
    found, summary = world.reindex()
    chaos.expect("what reindex finds", [], found)
    chaos.expect("sessions made", len(before["sessions"]), summary["sessions"]["made"])
    cli = world.start()
    rows = compare(before, everything(cli), IN_BUCKETS)
    chaos.expect("the files", files, fetched(cli, world, before["sessions"], "rebuilt"))
    return rows


def from_older_dump(world, before):
    """The dump is older than what is in the buckets."""
    world.stop()
    world.another_database()
    # It leaves nothing behind that would be in the way.
    world.reindex("--dry-run")
    world.backup("restore", world.folder / "backup", "--database-only")
    cli = world.start()
    later = chaos.make_session(world.folder, 1, chaos.seeded(7))
    main_job.ingest(cli, [later])
    cli.run("job", "submit", "--app", "summary", "--version", "v1", "--entrypoint", "train",
            "--input", f"data_ids=session:{main_job.DATASET}/{later.name}", "--job-id", "later")
    cli.run("job", "wait", "later")
    after = settled(cli, world)
    files = fetched(cli, world, after["sessions"], "later")
    world.stop()
    world.another_database()
    world.backup("restore", world.folder / "backup", "--database-only")
    found, summary = world.reindex("--take-newer")
    chaos.expect("what reindex finds", [], found)
    chaos.expect("sessions made", len(after["sessions"]) - len(before["sessions"]), summary["sessions"]["made"])
    cli = world.start()
    restored = everything(cli)
    rows = compare(after, restored, (*IN_BUCKETS, "held"))
    # Everything else is as it was at the dump.
    rows += compare(before, restored, [part for part in before if part not in (*IN_BUCKETS, "held")])
    chaos.expect("the files", files, fetched(cli, world, after["sessions"], "picked-up"))
    world.stop()
    return rows, len(after["sessions"]) - len(before["sessions"])


def half_a_dump(world):
    """A dump that is cut off leaves nothing: a whole one can be restored after it."""
    world.another_database()
    dump = world.folder / "backup" / "database.dump"
    whole = dump.read_bytes()
    dump.write_bytes(whole[:len(whole) * 3 // 4])
    try:
        world.backup("restore", world.folder / "backup", "--database-only")
    except Failed as failed:
        chaos.expect("that it says so", True, "nothing of it is in the database" in str(failed) and "Traceback" not in str(failed))
    else:
        raise Failed("half a dump was restored")
    dump.write_bytes(whole)
    world.backup("restore", world.folder / "backup", "--database-only")


def beside_others(world):
    """What is in the buckets already stays, and is counted in one line; what may not be written is an error."""
    place = f"s3/{world.name}-raw/default/{main_job.DATASET}/{FOLDERS[0]}/"
    world.mc("pipe", place + "camera.jpg", text="another")
    world.another_database()
    said = world.backup("restore", world.folder / "backup")
    chaos.expect("lines of errors", [], [line for line in said.splitlines() if "ERROR" in line])
    line = f"backup: {world.name}-raw: 0 objects copied, 1 that are there with another size stay"
    chaos.expect("the line that counts them", [line], [line for line in said.splitlines() if "stay" in line])
    chaos.expect("what was there", "another", world.mc("cat", place + "camera.jpg"))
    world.mc("rm", place + "camera.jpg")
    world.mc("admin", "user", "add", "s3", "reader", "reader-secret")
    world.mc("admin", "policy", "attach", "s3", "readonly", "--user", "reader")
    world.another_database()
    try:
        world.backup("restore", world.folder / "backup", AWS_ACCESS_KEY_ID="reader", AWS_SECRET_ACCESS_KEY="reader-secret")
    except Failed as failed:
        chaos.expect("that the reason is said", True, "Denied" in str(failed))
    else:
        raise Failed("a restoration that may not write ended well")


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--keep", action="store_true", help="keep the data directories of a failure")
    arguments = arguments.parse_args()
    arguments.seed = 7
    begin = time.monotonic()
    with work_folder("backup", arguments) as folder:
        world = World(folder)
        try:
            before, files, dumped = from_dump(world)
            print(f"from a dump: {dumped} rows and {len(files)} files as they were", flush=True)
            rebuilt = from_buckets(world, before, files)
            print(f"from the buckets alone: {rebuilt} rows and {len(files)} files as they were", flush=True)
            picked, newer = from_older_dump(world, before)
            print(f"from an older dump: {picked} rows as they were, {newer} newer sessions picked up", flush=True)
            half_a_dump(world)
            print("from half a dump: nothing", flush=True)
            beside_others(world)
            print("beside other objects: they stay, and are counted", flush=True)
        finally:
            if world.server:
                world.server.kill()
    print(f"backup: ok, {dumped} + {rebuilt} + {picked} rows, {len(files)} files, {time.monotonic() - begin:.0f} s in all")


if __name__ == "__main__":
    main()
