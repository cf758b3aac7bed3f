"""`make smoke`: the main job on both back ends, then with kill -9 at random moments.

    python3 scripts/smoke.py [--seed N] [--kills N] [--keep]
"""

import argparse
import os
import random
import time
from urllib.parse import urlparse

import chaos
import main_job
from drill import work_folder
from granary_process import ROOT, Failed, Server

EXPECTED = {
    "20210229_161221": ("SESSION_STATE_PROCESSED", 0),
    "20210301_094507": ("SESSION_STATE_FAILED", None),
    "20210302_181530": ("SESSION_STATE_FAILED", None),
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seed", type=int, default=random.randrange(2**31))
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--keep", action="store_true", help="keep the data directories of a failure")
    arguments = arguments.parse_args()
    with work_folder("smoke", arguments) as work:
        figures = run(arguments, work)
    print(f"smoke: ok, {figures}")


def run(arguments, work):
    begin = time.monotonic()
    timings = []
    backends = [("embedded", [], {})]
    servers = outside("smoke")
    if servers:
        backends.append(("PostgreSQL and MinIO", *servers))
    elif os.environ.get("CI") == "true":
        raise Failed("PostgreSQL and MinIO must be there in CI")
    else:
        print("skipped: PostgreSQL and MinIO (GRANARY_TEST_POSTGRES and GRANARY_TEST_S3 are not set)")
    for name, flags, env in backends:
        seconds = main_job_on(work / name.split()[0].lower(), flags, env)
        print(f"main job on {name}: ok in {seconds:.1f} s", flush=True)
        timings.append(f"{name} {seconds:.1f} s")

    print(f"seed {arguments.seed}", flush=True)
    killed = kill_at_random(work / "chaos", arguments, [], {})
    if servers:
        fewer = argparse.Namespace(seed=arguments.seed + 1, kills=max(arguments.kills // 4, 1))
        flags, env = outside("chaos")
        killed += "; on PostgreSQL and MinIO " + kill_at_random(work / "chaos-servers", fewer, flags, env)
    return f"{'; '.join(timings)}; {killed}; {time.monotonic() - begin:.0f} s in all"


def outside(prefix):
    """Flags and environment for PostgreSQL and MinIO, with a database and buckets of this run's own."""
    postgres, s3 = os.environ.get("GRANARY_TEST_POSTGRES"), os.environ.get("GRANARY_TEST_S3")
    if not postgres or not s3:
        return None
    store = urlparse(s3)
    name = f"{prefix}{os.getpid()}"
    make_database(postgres, name)
    flags = ["--object-store", f"s3://{name}?endpoint=http://{store.hostname}:{store.port}"]
    env = {
        "AWS_ACCESS_KEY_ID": store.username, "AWS_SECRET_ACCESS_KEY": store.password,
        "GRANARY_DATABASE_URL": urlparse(postgres)._replace(path=f"/{name}").geturl(),
    }
    return flags, env


def make_database(postgres, name):
    import subprocess

    done = subprocess.run(["psql", postgres, "-qc", f"CREATE DATABASE {name}"], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"cannot make a database: {done.stderr.strip()}")


def main_job_on(folder, flags, env):
    begin = time.monotonic()
    folder.mkdir(parents=True)
    server = Server(folder / "data", flags, env, log=folder / "server.log").start()
    try:
        cli = server.cli()
        main_job.apply(cli)
        data = ROOT / "examples" / "data"
        sessions = main_job.ingest(cli, [data / name for name in EXPECTED])
        check_sessions(sessions)
        check_query(cli)
        freeze_and_run(cli)
        fetch(cli, data, folder)
    finally:
        server.stop()
    return time.monotonic() - begin


def check_sessions(sessions):
    for session in sessions:
        name = session["name"].split("/")[-1]
        state, rejected = EXPECTED[name]
        chaos.expect(f"the state of {name}", state, session["state"])
        if rejected is not None:
            chaos.expect(f"rejected assets of {name}", rejected, session.get("rejected_count", 0))
        chaos.expect(f"the hardware of {name}", True, session["attributes"]["hardware_model"]["text"] in ("X1", "X2"))


def check_query(cli):
    found = main_job.query(cli)
    if not found:
        raise Failed("the query found nothing")
    chaos.expect("the sessions that the query finds", {"20210229_161221", "20210302_181530"} & {a["session"].split("/")[-1] for a in found},
                 {a["session"].split("/")[-1] for a in found})
    picture = next(a for a in found if a["media_type"] == "image/jpeg")
    main_job.label(cli, picture["name"], "eyes-open")
    main_job.label(cli, picture["name"], "face", box=(1, 1, 8, 8))


def freeze_and_run(cli):
    before = main_job.freeze(cli)
    labelled = cli.json("snapshot", "assets", f"processed/{main_job.SNAPSHOT}")["assets"]
    chaos.expect("labels in the snapshot", 2, sum(len(a.get("labels", [])) for a in labelled))
    asset = next(a for a in labelled if a.get("labels"))
    main_job.label(cli, asset["asset"], "eyes-shut")
    chaos.expect("the snapshot after another label", labelled, cli.json("snapshot", "assets", f"processed/{main_job.SNAPSHOT}")["assets"])
    job = main_job.submit(cli)
    chaos.expect("the job", "JOB_STATE_SUCCEEDED", job["state"])
    chaos.expect("what the job pinned", [before["name"]], job["inputs"][0]["pinned"])
    kinds = sorted({kind for kind, _ in main_job.outputs(cli, job)})
    chaos.expect("kinds of outputs", ["artifact", "log", "output"], kinds)


def fetch(cli, data, folder):
    """What was sent comes back the same, good or rejected."""
    for name in EXPECTED:
        cli.run("download", "--session", f"{main_job.DATASET}/{name}", "--to", folder / "back")
        sent, back = chaos.files_below(data / name), chaos.files_below(folder / "back" / name)
        chaos.expect(f"the files of {name}", {p: chaos.digest(f) for p, f in sent.items()}, {p: chaos.digest(f) for p, f in back.items()})


def kill_at_random(folder, arguments, flags, env):
    chance = chaos.seeded(arguments.seed)
    (folder / "sent").mkdir(parents=True)
    server = Server(folder / "data", flags, env, log=folder / "server.log").start()
    try:
        with chaos.Killer(server, arguments.kills, chaos.seeded(arguments.seed + 7)) as killer:
            sent, jobs = chaos.work(server, killer, folder / "sent", chance)
        rows, files = chaos.compare(server, sent, jobs, folder)
        if not flags:
            chaos.check_objects(folder / "data" / "objects", sent)
    finally:
        server.stop()
    return f"{arguments.kills} kills: {len(sent)} sessions, {len(jobs)} jobs, {rows} rows and {files} files as sent"


if __name__ == "__main__":
    main()
