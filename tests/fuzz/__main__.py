"""``python -m tests.fuzz --minutes 10``: random commands until the time is over; what fails is kept in ``seeds/``.

With ``--damaged``, commands that read a run of which one file was damaged.
"""

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
    parser.add_argument("--commands", type=int, default=None, help="end after so many")
    parser.add_argument("--seed", type=int, default=None, help="of the first command; the others count up")
    parser.add_argument("--seconds", type=float, default=120.0, help="that a command may take")
    parser.add_argument(
        "--damaged", action="store_true", help="damage a file of a run before each command that reads it"
    )
    options = parser.parse_args()
    seed = Random().randrange(10**9) if options.seed is None else options.seed
    end = time.monotonic() + 60 * options.minutes
    count = faults = 0
    with tempfile.TemporaryDirectory() as folder:
        runs = fuzzing.make_runs(Path(folder))
        if not options.damaged:
            for file in sorted(fuzzing.SEEDS.glob("*.json")):  # what failed before
                if failure := fuzzing.try_kept(file, runs, options.seconds):
                    faults += 1
                    print(f"{file.name}: {failure.why}\n{failure.shown()}", flush=True)
        while time.monotonic() < end and count != options.commands:
            try_one = fuzzing.try_damage if options.damaged else fuzzing.try_one
            failure = try_one(seed + count, runs, options.seconds)
            count += 1
            if failure is not None:
                faults += 1
                print(f"seed {failure.seed}: {failure.why}\n{failure.shown()}", flush=True)
                if not options.damaged:  # its seed alone repeats a damage
                    print(f"  kept in {failure.keep()}", flush=True)
            elif count % 20 == 0:
                print(f"{count} commands, {faults} failed", flush=True)
    print(f"{count} commands from seed {seed}, {faults} failed")
    return int(faults > 0)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
