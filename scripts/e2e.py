"""`make e2e`: Granary on a real Kubernetes, installed by Helm, used from outside.

    python3 scripts/e2e.py [--kube DIR] [--sessions N] [--seed N] [--keep] [WORD ...]

--kube is the folder of a cluster that is up (`scripts/kube.sh up DIR`); otherwise one is made, and ended. Words choose steps after the installation.
"""

import argparse
import base64
import concurrent.futures
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import chaos
import main_job
from cluster import JOBS, NAMESPACE, Cluster, python_image, tool
from drill import Disturbance, work_folder
from fleet import ROLES
from granary_process import ROOT, Cli, Failed
from load import Load
from observe import Users, observe
from prometheus import Host, Prometheus, release
from smoke import EXPECTED, check_query, check_sessions, fetch, freeze_and_run

IMAGES = ROOT / "target" / "image"
STEPS = []


def step(function):
    """A step: what it does, and the figures that it returns."""
    STEPS.append(function)
    return function


def install(cluster):
    """From nothing to the first session that is processed."""
    begin = time.monotonic()
    for archive in ("granary.tar", "envoy.tar"):
        cluster.import_image(IMAGES / archive)
    python_image(cluster.folder / "python.tar", "docker.io/library/python:3.13-slim")
    cluster.import_image(cluster.folder / "python.tar")
    cluster.prepare()
    seconds = cluster.install()
    cli = cluster.cli()
    main_job.apply(cli)
    main_job.ingest(cli, [ROOT / "examples" / "data" / next(iter(EXPECTED))])
    return f"installed in {seconds:.0f} s, first session processed {time.monotonic() - begin:.0f} s after the images were there"


@step
def the_main_job(cluster, _):
    """Sessions, checks, query, labels, snapshot, a job as a Kubernetes Job, its outputs, and everything back."""
    cli, data = cluster.cli(), ROOT / "examples" / "data"
    sessions = main_job.ingest(cli, [data / name for name in EXPECTED])
    check_sessions(sessions)
    check_query(cli)
    freeze_and_run(cli)
    fetch(cli, data, cluster.folder)
    jobs = cluster.get("-n", JOBS, "jobs")
    if not jobs:
        raise Failed("the job was no Kubernetes Job")
    return f"{len(sessions)} sessions, {len(jobs)} Kubernetes Job"


HUNGRY = """
hungry:
  v1:
    eat:
      app: {cmd: [python3, -c, "data = bytearray(400 << 20); print(len(data))"]}
      handler: {image_url: "docker.io/library/python:3.13-slim"}
      resources: {memory: 64MiB, timeout: 2m}
    nowhere:
      app: {cmd: [python3, -V]}
      handler: {image_url: "registry.invalid/nothing:1"}
      resources: {memory: 64MiB, timeout: 2m}
"""


@step
def ends_of_jobs(cluster, _):
    """A job that takes more memory than it may, and one whose image is not to be had, say so."""
    cli = cluster.cli()
    catalog = cluster.folder / "hungry.yaml"
    catalog.write_text(HUNGRY)
    cli.run("app", "apply", "-f", catalog)
    said = {}
    for entrypoint in ("eat", "nowhere"):
        cli.run("job", "submit", "--app", "hungry", "--version", "v1", "--entrypoint", entrypoint, "--job-id", entrypoint)
        cli.run("job", "wait", entrypoint, codes=(0, 1))
        said[entrypoint] = cli.run("job", "get", entrypoint)
    if "OOMKilled" not in said["eat"] and "OUT_OF_MEMORY" not in said["eat"]:
        raise Failed(f"the job that ate too much does not say so: {said['eat']}")
    if "image" not in said["nowhere"].lower():
        raise Failed(f"the job without an image does not say so: {said['nowhere']}")
    return "out of memory, and no image, are said"


@step
def what_is_measured(cluster, _):
    """A Prometheus, with the labels that the chart's ServiceMonitor gives, has data for every expression of dashboards and alerts while people work."""
    scrape = release(cluster.get("-n", NAMESPACE, "endpointslices", "-l", "app.kubernetes.io/instance=granary"))
    with Users(cluster.cli(), cluster.folder / "users") as users, Host(tool("node_exporter"), cluster.folder / "host") as host:
        with Prometheus(tool("prometheus"), cluster.folder / "prometheus", scrape, host.scrape()) as prometheus:
            return observe(prometheus, 300, users.check)


class PodKiller(Disturbance):
    """Kills a pod every few seconds, of one service after the other."""

    what = "killing pods"

    def __init__(self, cluster, chance):
        super().__init__()
        self.cluster, self.chance = cluster, chance
        self.kills = dict.fromkeys(ROLES, 0)

    def disturb(self):
        while not self.over.wait(self.chance.uniform(2.0, 5.0)):
            role = min(ROLES, key=lambda role: (self.kills[role], self.chance.random()))
            pods = [pod for pod in self.cluster.get("-n", NAMESPACE, "pods", "-l", f"app.kubernetes.io/component={role}") if ready(pod)]
            if len(pods) > 1:
                name = self.chance.choice(pods)["metadata"]["name"]
                self.cluster.kubectl("-n", NAMESPACE, "delete", "pod", name, "--grace-period=0", "--force", "--wait=false", "--ignore-not-found")
                self.kills[role] += 1


class Outages(Disturbance):
    """The database restarts, and later the store is away for a while."""

    what = "restarting PostgreSQL and MinIO"

    def __init__(self, cluster):
        super().__init__()
        self.left = [cluster.restart_postgres, lambda: cluster.pause_minio(lambda: self.over.wait(20))]

    def disturb(self):
        while self.left and not self.over.wait(10):
            self.left[0]()
            del self.left[0]


def ready(pod):
    conditions = pod["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


@step
def pods_that_are_killed(cluster, arguments):
    """Two of each service, of which one after the other is killed while sessions come; the database restarts, and the store is away for a while."""
    chance = chaos.seeded(arguments.seed)
    cluster.install("--set", "serviceDefaults.replicas=2")
    folder = cluster.folder / "sent"
    folder.mkdir()
    cli = cluster.cli()
    cli.run("dataset", "create", "killed", "--kind", "raw", codes=(0, 1))
    sent = [chaos.make_session(folder, number, chance) for number in range(arguments.sessions)]
    killer, outages = PodKiller(cluster, chaos.seeded(arguments.seed + 7)), Outages(cluster)
    begin = time.monotonic()

    def one(session):
        cli = cluster.cli()
        cli.run("upload", session, "--dataset", main_job.DATASET)
        cli.run("session", "wait", f"{main_job.DATASET}/{session.name}")

    with killer, outages, concurrent.futures.ThreadPoolExecutor(4) as users:
        list(users.map(one, sent))
        seconds = time.monotonic() - begin
    if outages.left or not all(killer.kills.values()):
        raise Failed(f"users were done before everything had happened, they take more --sessions: {killer.kills} killed, {len(outages.left)} outages left")
    check(cluster, sent)
    return f"{len(sent)} sessions in {seconds:.0f} s, {sum(killer.kills.values())} pods killed, 0 failed operations"


def check(cluster, sent):
    """Row by row, file by file."""
    cli = cluster.cli()
    for session in sent:
        files = chaos.files_below(session)
        assets = main_job.assets(cli, main_job.DATASET, f'session = "{session.name}"')
        chaos.expect(f"the assets of {session.name}", {p: (chaos.digest(f), f.stat().st_size) for p, f in files.items()},
                     {a["path"]: (a["sha256"], a.get("size_bytes", 0)) for a in assets})
        fetched = cluster.folder / "fetched"
        cli.run("download", "--session", f"{main_job.DATASET}/{session.name}", "--to", fetched)
        chaos.expect(f"the bytes of {session.name}", {p: chaos.digest(f) for p, f in files.items()},
                     {p: chaos.digest(f) for p, f in chaos.files_below(fetched / session.name).items()})
        shutil.rmtree(fetched)


@step
def upgrade_and_rollback(cluster, _):
    """Every service and Envoy roll under a steady load, forth and back: no call fails."""
    cluster.install("--set", "serviceDefaults.replicas=2", "--set", "envoy.replicas=2")
    with Load(cluster) as load:
        cluster.install("--set", "serviceDefaults.replicas=2", "--set", "envoy.replicas=2", "--set", "settings.log=debug")
        cluster.helm("rollback", "granary", "--namespace", NAMESPACE, "--wait", "--timeout", "8m")
        cluster.install("--set", "serviceDefaults.replicas=3", "--set", "envoy.replicas=2")
        cluster.install("--set", "serviceDefaults.replicas=1", "--set", "envoy.replicas=2")
    if load.failed or not load.calls:
        raise Failed(f"{len(load.failed)} of {load.calls} calls failed: {load.failed[:3]}")
    return f"upgrade, rollback, 3 of each and back: {load.calls} calls, 0 failed"


STEADY = """
steady:
  v1:
    sleep:
      app: {cmd: [python3, -c, "import time; time.sleep(60); print('slept')"]}
      handler: {image_url: "docker.io/library/python:3.13-slim"}
      resources: {memory: 64MiB, timeout: 10m}
"""


def sign_with(cluster, keys):
    """The signing keys are these, and all are started anew with them."""
    data = {"data": {"signing.pem": base64.b64encode(keys).decode()}}
    cluster.kubectl("patch", "-n", NAMESPACE, "secret", "granary-signing-key", "--patch", json.dumps(data))
    cluster.kubectl("rollout", "restart", "deployment", "-n", NAMESPACE, "--selector", "app.kubernetes.io/instance=granary")
    for role in (*ROLES, "envoy"):
        cluster.kubectl("rollout", "status", "-n", NAMESPACE, f"deployment/granary-{role}", "--timeout=4m")


@step
def another_signing_key(cluster, _):
    """One key follows the other under a steady load of people and a machine, beside a running job, as the page on operations says it: no call fails."""
    secret = cluster.kubectl("get", "-n", NAMESPACE, "secret", "granary-signing-key", "-o", "json")
    old = base64.b64decode(json.loads(secret)["data"]["signing.pem"])
    new = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], check=True, capture_output=True).stdout
    cli, catalog = cluster.cli(), cluster.folder / "steady.yaml"
    catalog.write_text(STEADY)
    cli.run("app", "apply", "-f", catalog)
    key = cli.json("api-key", "create", "--role", "viewer")["secret"]
    machine = Cli(cli.endpoint, cli.token_file, {**cli.more, "GRANARY_API_KEY": key, "GRANARY_TOKEN": ""})
    with Load(cluster, machines=[machine]) as load:
        cli.run("job", "submit", "--app", "steady", "--version", "v1", "--entrypoint", "sleep", "--job-id", "through-the-change")
        sign_with(cluster, old + new)
        sign_with(cluster, new + old)
        # Its pod has a token that the old key signed.
        cli.run("job", "wait", "through-the-change")
        sign_with(cluster, new)
    if load.failed or not load.calls:
        raise Failed(f"{len(load.failed)} of {load.calls} calls failed: {load.failed[:3]}")
    return f"another signing key: {load.calls} calls and a job, 0 failed"


@step
def uninstall(cluster, _):
    """What remains is what Helm was told to keep."""
    cluster.helm("uninstall", "granary", "--namespace", NAMESPACE, "--wait")
    kinds = "deployments,statefulsets,jobs,services,configmaps,serviceaccounts,networkpolicies,roles,rolebindings"
    left = cluster.get("-n", NAMESPACE, kinds, "-l", "app.kubernetes.io/instance=granary")
    if left:
        raise Failed(f"left behind: {[(item['kind'], item['metadata']['name']) for item in left]}")
    secrets = [item["metadata"]["name"] for item in cluster.get("-n", NAMESPACE, "secrets")]
    return f"uninstalled; Secrets that remain: {', '.join(sorted(secrets))}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kube", type=Path)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    parser.add_argument("--keep", action="store_true", help="leave everything as it is after a failure")
    parser.add_argument("words", nargs="*")
    arguments = parser.parse_args()
    for word in arguments.words:
        if not chosen([word]):
            parser.error(f"'{word}' is in the name of no step: {', '.join(step.__name__ for step in STEPS)}")
    begin = time.monotonic()
    with work_folder("e2e", arguments) as work:
        figures = run(arguments, work, begin)
    print(f"e2e: ok, {time.monotonic() - begin:.0f} s; {'; '.join(figures)}")


def chosen(words):
    return [step for step in STEPS if not words or any(word in step.__name__ for word in words)]


def run(arguments, work, begin):
    """The figures of the installation and of each step. However it ends, nothing stays up, unless `--keep` says so."""
    cluster, keep, figures = Cluster(work, arguments.kube), arguments.keep, []
    try:
        cluster.start()
        for function in [lambda cluster, _: install(cluster), *chosen(arguments.words)]:
            figures.append(function(cluster, arguments))
            print(f"{time.monotonic() - begin:5.0f} s  {figures[-1]}", flush=True)
        keep = False
    except Exception:
        tell_why(cluster)
        raise
    finally:
        if keep:
            print(f"all of it is still up: KUBECONFIG={cluster.kube / 'kubeconfig'}", file=sys.stderr)
        else:
            cluster.stop()
    return figures


def tell_why(cluster):
    try:
        print(cluster.why(), file=sys.stderr)
    except Failed:
        pass  # there is no cluster to ask


if __name__ == "__main__":
    main()
