"""What drills share (`make smoke`, `make replicas`, `make e2e`): a folder of their own, and what goes wrong beside the users. Standard library only."""

import contextlib
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from granary_process import Failed, fail


@contextlib.contextmanager
def work_folder(name, arguments):
    """A folder for one run, gone when it is over; `--keep` leaves that of a run that failed. Whatever ends the run, the seed that repeats it is said,
    if there is one."""
    work = Path(tempfile.mkdtemp(prefix=f"granary-{name}."))
    keep, seed = arguments.keep, getattr(arguments, "seed", None)
    try:
        yield work
        keep = False
    except BaseException as failure:
        print(f"what there was is kept in {work}" if keep else "run again with --keep to look at the data", file=sys.stderr)
        if isinstance(failure, Failed):
            fail(f"{failure}" if seed is None else f"seed {seed}: {failure}")
        if seed is not None:
            print(f"seed {seed}", file=sys.stderr)
        raise
    finally:
        if not keep:
            shutil.rmtree(work, ignore_errors=True)


class Disturbance(threading.Thread):
    """Does harm from the beginning of a `with` to its end, where it has ended too and what it could not do is a failure of the run."""

    what = "the disturbance"

    def __init__(self):
        super().__init__(daemon=True)
        self.over, self.failure = threading.Event(), None

    def disturb(self):
        """The harm, until `over` is set or there is no more to do. What it stops, it starts again."""
        raise NotImplementedError

    def run(self):
        try:
            self.disturb()
        except Exception as failure:  # told to the main thread, which ends the run
            self.failure = failure

    def check(self, beside=None):
        """Fails if the harm was not done as it should be; `beside` is what went wrong with the users, most likely because of it."""
        if self.failure:
            said = self.failure if isinstance(self.failure, Failed) else repr(self.failure)
            raise Failed(f"{self.what} failed: {said}{f'; beside it: {beside}' if beside else ''}") from self.failure

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, _, failure, __):
        self.over.set()
        self.join()
        if failure is None or isinstance(failure, Exception):
            self.check(beside=failure)
