"""What the cases share: a server, Envoys with different settings in front of it, certificates, and the list of the cases."""

import os
import subprocess
import tempfile
import time
from functools import cached_property
from pathlib import Path

import certificates
from envoy_process import Envoy, tool
from granary_process import Cli, Server
from ingress_test.wire import Client, Echo

CASES = []
ORIGIN = "https://app.example"
SHORT_CALL, SHORT_STREAM = 1.5, 6.0


def case(function):
    """A case: what its name says holds, or it raises."""
    CASES.append((function.__name__.replace("_", " "), lambda world: function(world)))
    return function


def each(*rows):
    """One case for each row."""
    def register(function):
        for row in rows:
            row = row if isinstance(row, tuple) else (row,)
            name = f"{function.__name__.replace('_', ' ')}: {str(row[0])[:90]!r}"
            CASES.append((name, lambda world, row=row: function(world, *row)))
        return function
    return register


def same(found, expected, about=""):
    if found != expected:
        raise AssertionError(f"expected {expected!r}, found {found!r} {about}")


def holds(condition, about):
    if not condition:
        raise AssertionError(f"{about}")


def until(what, condition, patience=20):
    """Asks until it is so."""
    end = time.monotonic() + patience
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {patience} s: {what}")
        time.sleep(0.05)
    return found


class World:
    """Everything is made when it is first asked for, in one folder."""

    def __init__(self):
        self.work = Path(tempfile.mkdtemp(prefix="granary-ingress."))
        self.tls = self.work / "tls"
        self.closing = []
        # No settings of whoever runs this.
        for name in [name for name in os.environ if name.startswith("GRANARY_") and name not in ("GRANARY_TOOLS", "GRANARY_PROGRAM")]:
            del os.environ[name]
        os.environ["XDG_CONFIG_HOME"] = str(self.work / "config")
        certificates.ensure(self.tls)

    @property
    def ca_file(self):
        return self.tls / "ca.crt"

    @cached_property
    def server(self):
        return self.keep(Server(self.work / "data", log=self.work / "server.log").start(), "stop")

    def keep(self, thing, end):
        self.closing.append(getattr(thing, end))
        return thing

    def envoy_of(self, name, *settings, upstream=None):
        server = self.server
        envoy = Envoy(self.work / name, self.tls, upstream or server.endpoint, settings, data_dir=server.data_dir)
        return self.keep(envoy.configure().validate().start(), "stop")

    @cached_property
    def token(self):
        return (self.server.data_dir / "token").read_text().strip()

    def token_for(self, subject):
        """A token of somebody else who may do everything."""
        return self.server.cli().json("token", "create", subject, "--role", "administrator")["token"]

    @cached_property
    def envoy(self):
        """With the defaults, and one page that may call."""
        return self.envoy_of("plain", "--cors-origin", ORIGIN)

    @cached_property
    def short(self):
        """With little patience."""
        return self.envoy_of("short", "--request-timeout", f"{SHORT_CALL}s", "--stream-timeout", f"{SHORT_STREAM}s")

    @cached_property
    def limited(self):
        """With a low limit for each principal."""
        return self.envoy_of("limited", "--rate-per-principal", "2", "--rate-per-address", "0")

    @cached_property
    def guarded(self):
        """With a low limit for each address."""
        return self.envoy_of("guarded", "--rate-per-principal", "0", "--rate-per-address", "5")

    @cached_property
    def echo(self):
        return self.keep(Echo(), "close")

    @cached_property
    def echoing(self):
        """In front of what remembers all headers."""
        return self.envoy_of("echoing", upstream=self.echo.endpoint)

    def client_of(self, envoy, token=True):
        return Client(envoy.port, self.ca_file, self.token if token is True else token)

    @cached_property
    def client(self):
        return self.client_of(self.envoy)

    def cli(self, envoy=None):
        """The command, through Envoy."""
        os.environ["GRANARY_CA_FILE"] = str(self.ca_file)
        return Cli((envoy or self.envoy).endpoint, self.server.data_dir / "token")

    def grpcurl(self, *arguments, envoy=None, token=True, patience=60):
        """grpcurl through Envoy: (exit code, output, errors)."""
        envoy = envoy or self.envoy
        headers = ["-H", f"authorization: Bearer {self.token}"] if token else []
        command = [tool("grpcurl"), "-cacert", self.ca_file, *headers]
        *flags, method = arguments
        done = subprocess.run([*command, *flags, f"localhost:{envoy.port}", method], capture_output=True, text=True, timeout=patience)
        return done.returncode, done.stdout, done.stderr

    def close(self):
        for end in reversed(self.closing):
            end()
