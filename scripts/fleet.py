"""Every service apart, each with several replicas, as processes on this machine: behind Envoy, on PostgreSQL and an S3 server, with the tokens of an
issuer outside. Needs the packages of `scripts/tools.sh path envoy-python`.
"""

import os
import subprocess
from pathlib import Path

import certificates
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from envoy_process import Envoy
from granary_process import Cli, Failed, ask_to_end, await_end, await_ready, end, free_port, program
from issuer import Issuer

ROLES = ("metadata", "storage", "pipeline", "job")
AUDIENCE = "granary"


class Replica:
    """A process that is one of the services."""

    def __init__(self, role, number, folder, env):
        self.role, self.name = role, f"{role}-{number}"
        self.ports = (free_port(), free_port())
        self.log = folder / f"{self.name}.log"
        self.env = env
        self.process = None

    def start(self):
        """Starts it and returns once it says that it is ready."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [
                    program(), "serve", "--roles", self.role, "--listen", f"127.0.0.1:{self.ports[0]}",
                    "--internal-listen", f"127.0.0.1:{self.ports[1]}",
                ],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=self.env,
            )
        if not await_ready(self.process):
            raise Failed(f"{self.name} did not start; see {self.log}: {self.log.read_text(errors='replace').strip().splitlines()[-1:]}")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()


class Fleet:
    """All replicas, Envoy in front, and a worker outside, up to the end of a `with`."""

    def __init__(self, folder, flags, env, replicas=2):
        self.folder = Path(folder)
        self.issuer = Issuer(AUDIENCE)
        certificates.ensure(self.folder / "tls")
        key = self.folder / "signing.pem"
        certificates.write(key, ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()), 0o600)
        self.env = {
            **os.environ, **env, "GRANARY_OBJECT_STORE": flags[flags.index("--object-store") + 1], "GRANARY_SIGNING_KEY_FILE": str(key),
            "GRANARY_OIDC_ISSUER": self.issuer.url, "GRANARY_OIDC_AUDIENCE": AUDIENCE, "GRANARY_OIDC_ALLOW_HTTP": "true",
            "GRANARY_OIDC_ADMINISTRATOR": "group:platform", "GRANARY_OIDC_WORKER": "group:workers", "GRANARY_JOB_SLOTS": "0",
            "GRANARY_TRUSTED_HOPS": "1",
            # A process that is apart has no use for one, and must not make it.
            "GRANARY_DATA_DIR": "/nowhere",
        }
        self.replicas = [Replica(role, number, self.folder, self.env) for role in ROLES for number in range(replicas)]
        for role in ("metadata", "storage"):
            self.env[f"GRANARY_{role.upper()}_ENDPOINT"] = ",".join(f"http://127.0.0.1:{r.ports[1]}" for r in self.of(role))
        upstreams = [f"--upstream-of={r.role}=http://127.0.0.1:{r.ports[0]}" for r in self.replicas]
        self.envoy = Envoy(self.folder / "envoy", self.folder / "tls", None, upstreams, env=self.env)
        self.token = self.folder / "token"
        self.token.write_text(self.issuer.token("root", groups=["platform"]))
        self.worker = None

    def of(self, role):
        return [replica for replica in self.replicas if replica.role == role]

    def start(self):
        for replica in self.replicas:
            replica.start()
        self.envoy.configure().validate().start()
        self.start_worker()
        return self

    def start_worker(self):
        env = {**os.environ, "GRANARY_CA_FILE": str(self.folder / "tls" / "ca.crt"), "GRANARY_TOKEN": self.issuer.token("truck", groups=["workers"])}
        with open(self.folder / "worker.log", "ab") as log:
            self.worker = subprocess.Popen(
                [program(), "--endpoint", self.envoy.endpoint, "worker", "run", "--name", "truck", "--folder", self.folder / "work", "--slots", "4"],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )

    def cli(self):
        return Cli(self.envoy.endpoint, self.token, {"GRANARY_CA_FILE": str(self.folder / "tls" / "ca.crt")})

    def stop(self):
        """Ends all of it; the names of those that had to be killed."""
        late = [] if end(self.worker) else ["the worker"]
        started = [replica for replica in self.replicas if replica.process]
        for replica in started:
            ask_to_end(replica.process)
        late += [replica.name for replica in started if not await_end(replica.process)]
        self.envoy.stop()
        self.issuer.stop()
        return late

    def __enter__(self):
        return self

    def __exit__(self, _, failure, __):
        late = self.stop()
        # What ended the run before says more.
        if late and failure is None:
            raise Failed(f"{', '.join(late)} did not end when asked to")
