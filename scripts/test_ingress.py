"""The ingress, tested from outside: real Envoys in front of a real server, on ports and in folders of their own.

    python3 scripts/test_ingress.py [--keep] [WORD ...]     only the cases whose names hold one of the words

The last line is `ingress: ok` and the number of cases.
"""

import argparse
import shutil
import sys
import time
import traceback

from ingress_test import attacks, grpc, keys, limits, operation, pages, rest, tokens  # noqa: F401, each brings its cases
from ingress_test.world import CASES, World


def run(name, check, world):
    """Whether a case holds."""
    begin = time.monotonic()
    try:
        check(world)
    except Exception as error:  # noqa: BLE001, whatever went wrong, the others are run too
        where = traceback.extract_tb(error.__traceback__)[1:2]
        place = f" ({where[0].filename.rpartition('/')[2]}:{where[0].lineno})" if where else ""
        print(f"FAILED {name}{place}: {type(error).__name__}: {str(error)[:1500]}", flush=True)
        return False
    print(f"ok {name} ({time.monotonic() - begin:.1f} s)", flush=True)
    return True


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    arguments.add_argument("words", nargs="*")
    arguments = arguments.parse_args()
    chosen = [(name, check) for name, check in CASES if not arguments.words or any(word in name for word in arguments.words)]
    world = World()
    try:
        failed = [name for name, check in chosen if not run(name, check, world)]
    finally:
        world.close()
        if arguments.keep:
            print(f"everything is kept in {world.work}")
        else:
            shutil.rmtree(world.work, ignore_errors=True)
    if failed or not chosen:
        print(f"ingress: {len(failed)} of {len(chosen)} cases failed")
        sys.exit(1)
    print(f"ingress: ok, {len(chosen)} cases")


if __name__ == "__main__":
    main()
