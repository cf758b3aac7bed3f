"""Every service apart, each with several replicas, as processes on this machine: behind Envoy, on PostgreSQL and an S3 server, with the tokens of an
issuer outside. Needs the packages of `scripts/tools.sh path envoy-python`.
"""

import http.server
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import certificates
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from envoy_process import Envoy
from granary_process import Cli, Failed, free_port, program

ROLES = ("metadata", "storage", "pipeline", "job")
AUDIENCE = "granary"


class Issuer:
    """An OpenID issuer: its document, its keys, and tokens that it signs."""

    def __init__(self, address="127.0.0.1"):
        self.key = ed25519.Ed25519PrivateKey.generate()
        answers = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(answers.get(self.path, {})).encode()
                self.send_response(200 if self.path in answers else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self.server.server_port}"
        key = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(self.key.public_key())) | {"kid": "one", "use": "sig", "alg": "EdDSA"}
        answers["/.well-known/openid-configuration"] = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        answers["/keys"] = {"keys": [key]}
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, subject, lifetime=3 * 3600, **claims):
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + lifetime, **claims}
        return jwt.encode(claims, self.key, "EdDSA", {"kid": "one"})

    def stop(self):
        self.server.shutdown()


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
        if self.process.stdout.readline().strip() != "ready":
            self.process.wait(60)
            raise Failed(f"{self.name} did not start; see {self.log}: {self.log.read_text(errors='replace').strip().splitlines()[-1:]}")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ask_to_stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def stop(self):
        self.ask_to_stop()
        if self.process:
            self.process.wait(60)


class Fleet:
    """All replicas, Envoy in front, and a worker outside."""

    def __init__(self, folder, flags, env, replicas=2):
        self.folder = Path(folder)
        self.issuer = Issuer()
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
        if self.worker and self.worker.poll() is None:
            self.worker.terminate()
            self.worker.wait(60)
        for replica in self.replicas:
            replica.ask_to_stop()
        for replica in self.replicas:
            replica.stop()
        self.envoy.stop()
        self.issuer.stop()
