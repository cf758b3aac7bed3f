"""`make replicas`: every service apart with two replicas, of which one after the other is killed while users go on.

    python3 scripts/replicas.py [--sessions N] [--replicas N] [--seed N] [--pauses] [--calm] [--keep]
"""

import argparse
import concurrent.futures
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import chaos
import main_job
from fleet import ROLES, Fleet
from granary_process import Failed, fail
from smoke import outside


class Killer(threading.Thread):
    """Kills replicas, one service after the other, and starts them again, until it is told to end. Now and then one is stopped in the middle
    instead, as a machine that hangs, and goes on half a minute later."""

    def __init__(self, fleet, chance, pauses):
        super().__init__(daemon=True)
        self.fleet, self.chance, self.pauses = fleet, chance, pauses
        self.over = threading.Event()
        self.kills, self.paused, self.failure = dict.fromkeys(ROLES, 0), 0, None

    def run(self):
        try:
            while not self.over.wait(self.chance.uniform(0.5, 2.0)):
                role = min(ROLES, key=lambda role: (self.kills[role], self.chance.random()))
                replica = self.chance.choice(self.fleet.of(role))
                if self.pauses and sum(self.kills.values()) % 5 == 4:
                    self.pause(replica)
                replica.kill()
                self.kills[role] += 1
                self.over.wait(self.chance.uniform(0.0, 1.0))
                replica.start()
        except Exception as failure:  # told to the main thread, which ends the run
            self.failure = failure


    def pause(self, replica):
        self.paused += 1
        replica.process.send_signal(signal.SIGSTOP)
        self.over.wait(30)
        replica.process.send_signal(signal.SIGCONT)
        # What it does now it does too late.
        self.over.wait(3)


def one_user(fleet, session, number):
    """What a user does with a session. Every command is run once: what it has to try again, it tries by itself."""
    cli, name = fleet.cli(), f"{main_job.DATASET}/{session.name}"
    cli.run("upload", session, "--dataset", main_job.DATASET)
    cli.run("session", "wait", name)
    cli.run("query", f'attributes.number = {number}', "--dataset", main_job.DATASET)
    job = f"job-{number}"
    cli.run("job", "submit", "--app", "summary", "--version", "v1", "--entrypoint", "train", "--input", f"data_ids=session:{name}", "--job-id", job)
    cli.run("job", "wait", job)
    return job


def run(arguments, work):
    servers = outside("replicas")
    if not servers:
        raise Failed("PostgreSQL and MinIO are needed: run scripts/replicas.sh")
    fleet = Fleet(work, *servers, replicas=arguments.replicas)
    chance = chaos.seeded(arguments.seed)
    begin = time.monotonic()
    try:
        fleet.start()
        print(f"{len(fleet.replicas)} processes and Envoy up after {time.monotonic() - begin:.1f} s; seed {arguments.seed}", flush=True)
        main_job.apply(fleet.cli())
        (work / "sent").mkdir()
        sent = [chaos.make_session(work / "sent", number, chance) for number in range(arguments.sessions)]
        killer = Killer(fleet, chaos.seeded(arguments.seed + 7), arguments.pauses)
        begin = time.monotonic()
        if not arguments.calm:
            killer.start()
        with concurrent.futures.ThreadPoolExecutor(4) as users:
            jobs = list(users.map(lambda one: one_user(fleet, *one), [(session, number) for number, session in enumerate(sent)]))
        seconds = time.monotonic() - begin
        killer.over.set()
        if not arguments.calm:
            killer.join()
        if killer.failure:
            raise Failed(f"a replica did not come back: {killer.failure}")
        rows, files = chaos.compare(fleet, sent, jobs, work)
    finally:
        fleet.stop()
    kills = ", ".join(f"{role} {count}" for role, count in killer.kills.items())
    return (f"{len(sent)} sessions and {len(jobs)} jobs in {seconds:.0f} s; {sum(killer.kills.values())} kills ({kills}), {killer.paused} hung; "
            f"0 failed operations, {rows} rows and {files} files as sent")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sessions", type=int, default=20)
    arguments.add_argument("--replicas", type=int, default=2)
    arguments.add_argument("--pauses", action="store_true", help="also stop some for half a minute before they are killed")
    arguments.add_argument("--calm", action="store_true", help="kill nobody")
    arguments.add_argument("--seed", type=int, default=random.randrange(2**31))
    arguments.add_argument("--keep", action="store_true", help="keep logs and data of a failure")
    arguments = arguments.parse_args()
    work = Path(tempfile.mkdtemp(prefix="granary-replicas."))
    try:
        figures = run(arguments, work)
    except Failed as failure:
        print(f"what there was is kept in {work}" if arguments.keep else "run again with --keep to look at the data", file=sys.stderr)
        if not arguments.keep:
            shutil.rmtree(work, ignore_errors=True)
        fail(f"seed {arguments.seed}: {failure}")
    shutil.rmtree(work, ignore_errors=True)
    print(f"replicas: ok, {figures}")


if __name__ == "__main__":
    main()
