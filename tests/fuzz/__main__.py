"""``python -m tests.fuzz --minutes 10``: random commands until the time is over; what fails is kept in ``seeds/``."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from tests.fuzz import fuzzing


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="of the first command; the others count up")
    parser.add_argument("--seconds", type=float, default=120.0, help="that a command may take")
    options = parser.parse_args()
    seed = Random().randrange(10**9) if options.seed is None else options.seed
    end = time.monotonic() + 60 * options.minutes
    count = faults = 0
    with tempfile.TemporaryDirectory() as folder:
        runs = fuzzing.make_runs(Path(folder))
        while time.monotonic() < end:
            failure = fuzzing.try_one(seed + count, runs, options.seconds)
            count += 1
            if failure is not None:
                faults += 1
                print(
                    f"seed {seed + count - 1}: {failure.why}: kept in {failure.keep()}\n{failure.shown()}", flush=True
                )
            elif count % 20 == 0:
                print(f"{count} commands, {faults} failed", flush=True)
    print(f"{count} commands from seed {seed}, {faults} failed")
    return int(faults > 0)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
