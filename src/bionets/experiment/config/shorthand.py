"""Short forms of overrides on the command line."""

import re
from collections.abc import Sequence
from itertools import pairwise

WITH_VALUE = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p")
OVERRIDE = re.compile(r"~|[^-].*=")
NAMED = re.compile(r"(?P<group>optimizer|schedule)\.name=(?P<names>.+)")


def expand(words: Sequence[str]) -> list[str]:
    """Replace ``optimizer.name=Adagrad`` by ``optimizer=Adagrad``, which has the arguments of this class of PyTorch,
    and ``schedule.name`` likewise. Move flags to the front: argparse accepts overrides only on one side of a flag.
    """
    flags: list[str] = []
    overrides: list[str] = []
    for before, word in pairwise(["", *words]):
        own = OVERRIDE.match(word) and before not in WITH_VALUE
        (overrides if own else flags).append(word)
    named = [NAMED.fullmatch(word) for word in overrides]
    return flags + [
        f"{match['group']}={match['names']}" if match else word for match, word in zip(named, overrides, strict=True)
    ]
