"""A cluster of this machine with Granary in it: Kubernetes of `scripts/kube.sh`, the chart by Helm, PostgreSQL and MinIO outside of it, and an issuer."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlparse

import certificates
from fleet import AUDIENCE
from granary_process import ROOT, Cli, Failed
from issuer import Issuer

HOST, NODE = "198.18.0.1", "198.18.0.2"
NAMESPACE, JOBS, PORT = "granary", "granary-jobs", 30443
CHART = ROOT / "charts" / "granary"
SCRIPTS = ROOT / "scripts"


def run(*command, env=None, patience=900, stdin=None):
    """What a command printed. Fails if it cannot be run, says that it failed, or does not end in time."""
    words = [str(part) for part in command]
    said = " ".join(words)[:200]
    try:
        done = subprocess.run(words, env={**os.environ, **(env or {})}, input=stdin, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        raise Failed(f"{said} did not end within {patience} s") from None
    except OSError as failure:
        raise Failed(f"{said} cannot be run: {failure}") from None
    if done.returncode:
        raise Failed(f"{said} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def tool(name):
    run(SCRIPTS / "tools.sh", name)
    return run(SCRIPTS / "tools.sh", "path", name).strip()


class Cluster:
    """Everything in one folder. `kube` is the folder of a cluster that is up already, if there is one."""

    def __init__(self, folder, kube=None):
        self.folder = Path(folder)
        self.borrowed = kube is not None
        self.kube = Path(kube or self.folder / "kube")
        self.helm_program = tool("helm")
        self.env = {"KUBECONFIG": str(self.kube / "kubeconfig"), "HELM_CONFIG_HOME": str(self.folder / "helm")}
        self.issuer = None

    # The machine's side.

    def start(self):
        if not self.borrowed:
            run(SCRIPTS / "kube.sh", "up", self.kube)
        listen = {"GRANARY_SERVERS_LISTEN": HOST}
        # PostgreSQL runs as another user, who must be able to pass through.
        self.folder.chmod(0o711)
        self.postgres = urlparse(run(SCRIPTS / "postgres.sh", "start", self.folder / "postgres", env=listen).strip())
        self.minio = urlparse(run(SCRIPTS / "minio.sh", "start", self.folder / "minio", env=listen).strip())
        self.issuer = Issuer(AUDIENCE, address=HOST)
        (self.folder / "tls").mkdir()
        certificates.make_authority(self.folder / "tls")
        certificates.make_certificate(self.folder / "tls", (NODE, "granary.example"))
        (self.folder / "token").write_text(self.issuer.token("root", groups=["platform"]))
        return self

    def stop(self):
        """Ends all of it, whatever of it there is; a cluster that was up before is left as it was. Says what does not end, and goes on."""
        if self.issuer:
            self.issuer.stop()
        if self.borrowed:
            ends = [(self.kube / "kubectl", "delete", "namespace", namespace, "--ignore-not-found") for namespace in (NAMESPACE, JOBS)]
        else:
            ends = [(SCRIPTS / "kube.sh", "down", self.kube)]
        for command in [*ends, *((SCRIPTS / f"{server}.sh", "stop", self.folder / server) for server in ("postgres", "minio"))]:
            try:
                run(*command, env=self.env, patience=300)
            except Failed as failure:
                print(f"left behind: {failure}", file=sys.stderr)

    def restart_postgres(self):
        port = str(self.postgres.port)
        run(SCRIPTS / "postgres.sh", "stop", self.folder / "postgres")
        run(SCRIPTS / "postgres.sh", "start", self.folder / "postgres", port, env={"GRANARY_SERVERS_LISTEN": HOST})

    def pause_minio(self, wait):
        """The store is away for as long as `wait` takes."""
        port = str(self.minio.port)
        run(SCRIPTS / "minio.sh", "stop", self.folder / "minio")
        wait()
        run(SCRIPTS / "minio.sh", "start", self.folder / "minio", port, env={"GRANARY_SERVERS_LISTEN": HOST})

    def import_image(self, archive):
        run(self.kube / "ctr", "images", "import", archive)

    def kubectl(self, *arguments, stdin=None, patience=300):
        return run(self.kube / "kubectl", *arguments, env=self.env, stdin=stdin, patience=patience)

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))["items"]

    def helm(self, *arguments, patience=900):
        return run(self.helm_program, *arguments, env=self.env, patience=patience)

    # Granary's side.

    def prepare(self):
        """The namespace, at the restricted level, and the Secrets that the chart only names."""
        self.kubectl("create", "namespace", NAMESPACE)
        self.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
        database = f"postgres://{self.postgres.username}@{HOST}:{self.postgres.port}/granary"
        secret = lambda name, *items: self.kubectl("-n", NAMESPACE, "create", "secret", "generic", name, *(f"--from-literal={item}" for item in items))
        secret("database", f"url={database}")
        secret("store", f"AWS_ACCESS_KEY_ID={self.minio.username}", f"AWS_SECRET_ACCESS_KEY={self.minio.password}")
        tls = self.folder / "tls"
        self.kubectl("-n", NAMESPACE, "create", "secret", "tls", "tls", f"--cert={tls / 'tls.crt'}", f"--key={tls / 'tls.key'}")
        self.values = self.folder / "values.json"
        self.values.write_text(json.dumps({
            "image": {"repository": "docker.io/library/granary", "pullPolicy": "Never"},
            "oidc": [{
                "issuer": self.issuer.url, "audiences": [AUDIENCE], "allow_http": True, "administrators": ["group:platform"], "workers": ["group:workers"],
            }],
            "database": {"existingSecret": "database"},
            "objectStore": {"url": f"s3://granary?endpoint=http://{HOST}:{self.minio.port}", "existingSecret": "store"},
            "envoy": {"tls": {"secretName": "tls"}, "service": {"type": "NodePort", "nodePort": PORT}},
            "jobs": {"namespace": JOBS, "settings": {"image_patience": "15s"}},
            "metrics": {"enabled": True},
        }))

    def install(self, *flags):
        """`helm upgrade --install` that waits; how many seconds it took."""
        begin = time.monotonic()
        self.helm("upgrade", "--install", "granary", CHART, "--namespace", NAMESPACE, "--values", self.values, "--wait", "--timeout", "8m", *flags)
        return time.monotonic() - begin

    def cli(self):
        return Cli(f"https://{NODE}:{PORT}", self.folder / "token", {"GRANARY_CA_FILE": str(self.folder / "tls" / "ca.crt")})

    def why(self):
        """What the cluster says of pods that are not as they should be, for whoever looks for the reason of a failure."""
        said = []
        for namespace in (NAMESPACE, JOBS):
            said.append(self.kubectl("-n", namespace, "get", "pods", "-o", "wide"))
            said.append(self.kubectl("-n", namespace, "get", "events", "--sort-by=.lastTimestamp")[-4000:])
        return "\n".join(said)


def python_image(archive, name):
    """An image with Python, made of this machine's: what `docker.io/library/python` is where there is a registry."""
    program = Path("/usr/bin/python3").resolve()
    if not program.is_file():
        raise Failed("there is no /usr/bin/python3 to make an image of")
    libraries = [word for word in run("ldd", program).split() if word.startswith("/")]
    version = program.name
    standard = Path("/usr/lib") / version
    for module in (standard / "lib-dynload").glob("*.so"):
        libraries += [word for word in run("ldd", module).split() if word.startswith("/")]
    same = [f"{library}={library}" for library in sorted(set(libraries))]
    run(sys.executable, "-B", SCRIPTS / "image.py", archive, "--name", name, "--env", "PATH=/usr/bin",
        "--layer", f"{program}=/usr/bin/{version}", f"{program}=/usr/bin/python3", *same, f"{standard}=/usr/lib/{version}")
