"""``python -m tests.soak --kills 500 --disk-steps 40``: kill every kind of command, fill the disk, count the faults."""

import argparse
import sys
import tempfile
from pathlib import Path
from random import Random

from tests.soak.disk import walk
from tests.soak.kills import Soak
from tests.soak.points import at_points
from tests.soak.scenarios import SCENARIOS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="shared out among the kinds")
    parser.add_argument("--disk-steps", type=int, default=0, help="how much space there is, in so many steps")
    parser.add_argument("--points", type=int, default=0, help="changes of files of each kind, with four events at each")
    parser.add_argument("--kinds", nargs="+", default=list(SCENARIOS), choices=list(SCENARIOS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faults = soak(options.kinds, options.kills, options.seed)
    for free, fault in walk(options.disk_steps):
        print(f"{free} bytes free: {fault or 'as it should be'}", flush=True)
        faults += bool(fault)
    for kind in options.kinds if options.points else ():
        place = Path(tempfile.mkdtemp(prefix="bionets-points-")) / kind
        for fault in at_points(SCENARIOS[kind], place, Random(options.seed), options.points):
            print(f"{kind}: {fault}", flush=True)
            faults += 1
    print(f"{faults} faults")
    return int(faults > 0)


def soak(kinds: list[str], kills: int, seed: int) -> int:
    """Kill so many commands of these kinds; how many faults there were."""
    faults, random = 0, Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="bionets-soak-"))
    for number, kind in enumerate(kinds):
        share = kills // len(kinds) + (number < kills % len(kinds))
        scenario, done = Soak(kind, folder / kind), 0
        while done < share:
            for word in scenario.killed(random):
                done += word == ""
                if word not in ("", "ended before"):
                    faults += 1
                    print(word, flush=True)
        print(f"{kind}: {done} kills, {faults} faults so far", flush=True)
    return faults


if __name__ == "__main__":
    sys.exit(main())
