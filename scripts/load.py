"""A steady load through the ingress, for as long as something else happens: every call has to be answered."""

import threading
import time


class Load:
    """A few users who list, and a few who write, each one call after the other, up to the end of a `with`; `calls` and `failed` say how it went.
    `machines` are commands of others who list."""

    def __init__(self, cluster, readers=3, writers=1, machines=()):
        self.cluster = cluster
        self.over = threading.Event()
        self.calls, self.failed, self.lock = 0, [], threading.Lock()
        self.threads = [threading.Thread(target=self.read, args=(cli,), daemon=True) for cli in (*[cluster.cli()] * readers, *machines)]
        self.threads += [threading.Thread(target=self.write, args=(number,), daemon=True) for number in range(writers)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def one(self, cli, *arguments):
        try:
            cli.run(*arguments, patience=90)
            said = None
        except Exception as failure:  # counted, and told at the end
            said = str(failure)[-300:]
        with self.lock:
            self.calls += 1
            if said:
                self.failed.append(said)

    def read(self, cli):
        while not self.over.is_set():
            self.one(cli, "dataset", "list")
            self.one(cli, "session", "list", "--limit", "5")
            self.one(cli, "job", "list", "--limit", "5")
            self.one(cli, "pipeline", "list")

    def write(self, number):
        cli, count = self.cluster.cli(), 0
        while not self.over.is_set():
            count += 1
            self.one(cli, "dataset", "create", f"load-{number}-{int(time.time())}-{count}")
