"""A granary server as a process, and its command, for the scripts beside this file. Standard library only."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def program():
    """The program that `cargo build` made, or the one that is to be used instead."""
    if named := os.environ.get("GRANARY_PROGRAM"):
        return Path(named)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "granary"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_taken(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Failed(Exception):
    """A command ended with another code than 0; the text is what it said."""


def await_ready(process, patience=60):
    """Whether a server says that it is ready. One that does not, in so many seconds, is killed."""
    readable, _, _ = select.select([process.stdout], [], [], patience)
    if readable and process.stdout.readline().strip() == "ready":
        return True
    # With its output closed it is ending, and says why in its log.
    await_end(process, patience if readable else 0)
    return False


def await_end(process, patience=60):
    """Whether a process ends within so many seconds. One that does not is killed."""
    try:
        process.wait(patience)
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def ask_to_end(process):
    if process and process.poll() is None:
        process.send_signal(signal.SIGTERM)


def end(process, patience=60):
    """Ends a process, if there is one; whether it did so by itself."""
    ask_to_end(process)
    return not process or await_end(process, patience)


class Server:
    """`granary serve` in a data directory, on ports of its own or on given ones."""

    def __init__(self, data_dir, flags=(), env=None, ports=None, log=None):
        self.data_dir = Path(data_dir)
        self.ports = ports or (free_port(), free_port())
        self.flags = list(flags)
        self.env = {**os.environ, **(env or {})}
        self.log = log
        self.log_start = 0
        self.process = None

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.ports[0]}"

    def start(self):
        """Starts it and returns once it says that it is ready."""
        log = open(self.log, "ab") if self.log else None
        self.log_start = log.tell() if log else 0
        self.process = subprocess.Popen(
            [
                program(), "serve", "--data-dir", self.data_dir,
                "--listen", f"127.0.0.1:{self.ports[0]}", "--s3-listen", f"127.0.0.1:{self.ports[1]}", *self.flags,
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=self.env,
        )
        if not await_ready(self.process):
            raise Failed(f"granary serve did not start: {self.last_words()}")
        return self

    def last_words(self):
        """The last that this start of it wrote to its log, its own error if there is one."""
        if not self.log:
            return "see the messages above"
        with open(self.log, "rb") as log:
            log.seek(self.log_start)
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        errors = [line.removeprefix("granary: ") for line in lines if line.startswith("granary: ")]
        return (errors or lines or [f"see {self.log}"])[-1]

    def kill(self):
        """No chance to tidy up. What was written stays in the kernel: it is no power cut."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Asks it to end, and waits."""
        if not end(self.process):
            raise Failed("granary serve did not end when it was asked to, and was killed")

    def cli(self):
        return Cli(self.endpoint, self.data_dir / "token")


class Cli:
    """The command, as the local administrator of a server."""

    def __init__(self, endpoint, token_file, env=None):
        self.endpoint = endpoint
        self.token_file = Path(token_file)
        self.more = env or {}

    def command(self, *arguments):
        return [str(program()), "--endpoint", self.endpoint, *map(str, arguments)]

    def env(self):
        return {**os.environ, "GRANARY_TOKEN": self.token_file.read_text().strip(), "GRANARY_PROJECT": "default", **self.more}

    def start(self, *arguments):
        """Starts a command and does not wait for it."""
        return subprocess.Popen(
            self.command(*arguments), env=self.env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )

    def run(self, *arguments, codes=(0,), patience=600):
        """What a command printed. Fails if it ended with another code than these, or not in time."""
        try:
            done = subprocess.run(
                self.command(*arguments), env=self.env(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"granary {' '.join(map(str, arguments))} did not end within {patience} s") from None
        if done.returncode not in codes:
            raise Failed(f"granary {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments, codes=(0,)):
        """The one document that a command printed."""
        return json.loads(self.run("--output", "json", *arguments, codes=codes))

    def lines(self, *arguments, codes=(0,)):
        """The documents that a command printed, one a line."""
        return [json.loads(line) for line in self.run("--output", "json", *arguments, codes=codes).splitlines() if line.strip()]


def fail(message):
    print(f"{Path(sys.argv[0]).stem}: {message}", file=sys.stderr)
    sys.exit(1)
