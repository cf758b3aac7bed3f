"""The main job again and again while server and client are killed, and the comparison of what is stored with what was sent."""

import hashlib
import json
import random
import shutil
import time
from pathlib import Path

import main_job
from drill import Disturbance
from granary_process import ROOT, Failed

PICTURES = ROOT / "examples" / "data" / "images"


def digest(file):
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def files_below(folder):
    return {str(p.relative_to(folder)): p for p in sorted(Path(folder).rglob("*")) if p.is_file()}


class Killer(Disturbance):
    """Kills the server at random moments and starts it again, until it has done so often enough."""

    what = "killing the server"

    def __init__(self, server, kills, chance):
        super().__init__()
        self.server, self.kills, self.chance = server, kills, chance
        self.done = 0

    def disturb(self):
        while self.done < self.kills and not self.over.wait(self.chance.uniform(0.2, 2.0)):
            self.server.kill()
            self.done += 1
            self.server.start()

    def is_done(self):
        """Whether it killed often enough; fails if the server did not come back."""
        self.check()
        return self.done >= self.kills


def make_session(folder, number, chance):
    """A session of many small files, pictures, and one that is sent in parts."""
    session = folder / f"chaos_{number:03}"
    (session / "signals").mkdir(parents=True)
    for file in range(20):
        (session / "signals" / f"{file:02} α.bin").write_bytes(chance.randbytes(chance.randrange(0, 50_000)))
    (session / "large.bin").write_bytes(chance.randbytes(20_000_000 + chance.randrange(1000)))
    for picture in ("face.jpg", "hands.jpg"):
        shutil.copy(PICTURES / picture, session / picture)
    listed = sorted(files_below(session))
    metadata = {"fatigue": 1 + number % 5, "hardware_model": f"X{1 + number % 2}", "number": number, "files": listed}
    (session / "metadata.json").write_text(json.dumps(metadata, ensure_ascii=False))
    return session


def insist(cli, *arguments, chance=None, patience=180):
    """Runs a command until it succeeds; now and then kills it half way, as somebody might."""
    end = time.monotonic() + patience
    while True:
        process = cli.start(*arguments)
        killed = chance is not None and chance.random() < 0.3
        if killed:
            time.sleep(chance.uniform(0.05, 0.6))
            process.kill()
        _, said = process.communicate()
        if not killed and process.returncode == 0:
            return
        if time.monotonic() > end:
            raise Failed(f"granary {' '.join(map(str, arguments))} did not succeed within {patience} s: {said}")


def work(server, killer, folder, chance):
    """Sends sessions and submits jobs until the killer is done, then lets all of it end. Returns the session folders and job ids."""
    cli = server.cli()
    sent, jobs = [], []
    insist(cli, "pipeline", "apply", "-f", ROOT / "examples" / "pipelines" / "recordings.yaml")
    insist(cli, "app", "apply", "-f", ROOT / "examples" / "applications.yaml")
    while not killer.is_done() or len(sent) < 3:
        session = make_session(folder, len(sent), chance)
        insist(cli, "upload", session, "--dataset", main_job.DATASET, chance=chance)
        sent.append(session)
        insist(cli, "session", "wait", f"{main_job.DATASET}/{session.name}")
        job = f"chaos-{len(jobs)}"
        source = f"session:{main_job.DATASET}/{session.name}"
        insist(
            cli, "job", "submit", "--app", "summary", "--version", "v1", "--entrypoint", "train",
            "--input", f"data_ids={source}", "--job-id", job,
        )
        jobs.append(job)
    for job in jobs:
        insist(cli, "job", "wait", job)
    return sent, jobs


def compare(server, sent, jobs, folder):
    """Compares what is stored with what was sent: rows, then bytes. Returns how many of each."""
    cli = server.cli()
    rows = check_rows(cli, sent) + check_processed(cli, sent) + check_runs(cli, sent)
    made = check_jobs(cli, jobs)
    for session in sent:
        fetched = folder / "fetched" / session.name
        cli.run("download", "--session", f"{main_job.DATASET}/{session.name}", "--to", folder / "fetched")
        expect(f"the bytes of {session.name}", {p: digest(f) for p, f in files_below(session).items()},
               {p: digest(f) for p, f in files_below(fetched).items()})
        shutil.rmtree(fetched)
    return rows + made, sum(len(files_below(session)) for session in sent)


def check_rows(cli, sent):
    sessions = {main_job.short(s["name"]).split("/")[1]: s for s in cli.json("session", "list", "--dataset", main_job.DATASET)["sessions"]}
    expect("the sessions", sorted(session.name for session in sent), sorted(sessions))
    rows = 0
    for session in sent:
        files = files_below(session)
        assets = main_job.assets(cli, main_job.DATASET, f'session = "{session.name}"')
        expect(f"the assets of {session.name}", {p: (digest(f), f.stat().st_size, "ASSET_STATE_READY") for p, f in files.items()},
               {a["path"]: (a["sha256"], a.get("size_bytes", 0), a["state"]) for a in assets})
        expect(f"the number of assets of {session.name}", len(files), len(assets))
        found = sessions[session.name]
        expect(f"the counts of {session.name}", ("SESSION_STATE_PROCESSED", len(files), len(files), 0),
               (found["state"], found["asset_count"], found["ready_count"], found.get("rejected_count", 0)))
        rows += 1 + len(assets)
    return rows


def check_processed(cli, sent):
    rows = 0
    for session in sent:
        files = files_below(session)
        made = main_job.assets(cli, "processed", f'session = "{session.name}"')
        copies = {a["path"]: a["sha256"] for a in made if a["path"] in files}
        expect(f"the copies of {session.name}", {p: digest(f) for p, f in files.items()}, copies)
        previews = [a["path"] for a in made if a["path"] not in files]
        expect(f"the previews of {session.name}", sum(p.endswith(".jpg") for p in files), len(previews))
        rows += len(made)
    return rows


def check_runs(cli, sent):
    runs = cli.json("run", "list")["runs"]
    expect("one run for each session", sorted(f"{main_job.DATASET}/{session.name}" for session in sent),
           sorted(main_job.short(run["session"]) for run in runs if f"/{main_job.DATASET}/" in run["session"]))
    expect("all runs succeeded", set(), {run["name"] for run in runs if run["state"] != "RUN_STATE_SUCCEEDED"})
    return len(runs)


def check_jobs(cli, jobs):
    found = {job["name"].split("/")[-1]: job for job in cli.json("job", "list")["jobs"]}
    expect("the jobs", sorted(jobs), sorted(found))
    for name, job in found.items():
        expect(f"the state of {name}", "JOB_STATE_SUCCEEDED", job["state"])
        paths = sorted((kind, asset["path"]) for kind, asset in main_job.outputs(cli, job))
        expect(f"the outputs of {name}", [("artifact", "model.json"), ("log", "run.log"), ("log", "stdout.log"), ("output", "summary.csv")], paths)
    return len(found)


def check_objects(root, sent):
    """The embedded store's folder: every object that should be there, and nothing half done."""
    raw = root / "granary-raw" / "default" / main_job.DATASET
    for session in sent:
        stored = {p: digest(f) for p, f in files_below(raw / session.name).items() if not p.startswith(".granary/")}
        expect(f"the objects of {session.name}", {p: digest(f) for p, f in files_below(session).items()}, stored)
    expect("no other sessions in the store", sorted(session.name for session in sent), sorted(p.name for p in raw.iterdir() if p.name != ".granary"))


def expect(what, wanted, found):
    if wanted != found:
        raise Failed(f"{what}: expected {clip(wanted)}, found {clip(found)}{difference(wanted, found)}")


def difference(wanted, found):
    if not isinstance(wanted, dict) or not isinstance(found, dict):
        return ""
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    differing = sorted(key for key in wanted.keys() & found.keys() if wanted[key] != found[key])
    return f"; missing {clip(missing)}, not expected {clip(extra)}, different {clip(differing)}"


def clip(value):
    text = str(value)
    return text if len(text) < 400 else text[:400] + "..."


def seeded(seed):
    return random.Random(seed)
