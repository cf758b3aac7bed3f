"""Envoy as a process, with the configuration that `granary ingress config` writes."""

import json
import os
import re
import socket
import ssl
import subprocess
import time
from pathlib import Path

from granary_process import ROOT, Failed, end, free_port, program


def tool(name):
    """Where a part that `scripts/tools.sh` got is."""
    return subprocess.run([ROOT / "scripts" / "tools.sh", "path", name], check=True, capture_output=True, text=True).stdout.strip()


class Envoy:
    """Envoy in front of a server. Its files, its log and its access log are in `folder`; certificates in `tls`."""

    def __init__(self, folder, tls, upstream, settings=(), port=None, data_dir=None, env=None):
        self.folder = Path(folder)
        self.tls = Path(tls)
        self.port = port or free_port()
        self.admin = free_port()
        self.settings = [str(setting) for setting in settings]
        self.upstream = upstream
        self.data_dir = data_dir
        self.env = {**os.environ, **(env or {})}
        self.process = None

    @property
    def endpoint(self):
        return f"https://localhost:{self.port}"

    def configure(self):
        """Writes the configuration."""
        command = [
            program(), "ingress", "config", "--to", self.folder, "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}",
            "--certificate", self.tls / "tls.crt", "--key", self.tls / "tls.key", *self.settings,
        ]
        if self.upstream:
            command += ["--upstream", self.upstream]
        if self.data_dir:
            command += ["--data-dir", self.data_dir]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"granary ingress config ended with {done.returncode}: {done.stderr.strip()}")
        return self

    def validate(self):
        """Has Envoy check the configuration."""
        command = [tool("envoy"), "--mode", "validate", "--config-path", self.folder / "envoy.yaml", "--log-level", "error"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"{self.folder / 'envoy.yaml'}: {done.stderr.strip() or done.stdout.strip()}")
        return self

    def start(self, patience=30):
        """Starts it and returns once it answers."""
        with open(self.folder / "envoy.log", "ab") as log, open(self.folder / "access.log", "ab") as access:
            self.process = subprocess.Popen(
                [
                    tool("envoy"), "--config-path", self.folder / "envoy.yaml", "--disable-hot-restart", "--concurrency", "2",
                    "--log-level", "warning", "--drain-time-s", "1", "--parent-shutdown-time-s", "2", "--file-flush-interval-msec", "200",
                ],
                stdin=subprocess.DEVNULL, stdout=access, stderr=log,
            )
        end = time.monotonic() + patience
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise Failed(f"Envoy did not start; see {self.folder / 'envoy.log'}")
            time.sleep(0.05)
        return self

    def answers(self):
        """Whether connections are taken."""
        context = ssl.create_default_context(cafile=self.tls / "ca.crt")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as raw:
                context.wrap_socket(raw, server_hostname="localhost").close()
                return True
        except OSError:
            return False

    def resident_mib(self):
        """How much memory it holds, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024

    def access_log(self):
        """What the access log says so far."""
        lines = (self.folder / "access.log").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def stop(self):
        """Ends it."""
        end(self.process, patience=10)
