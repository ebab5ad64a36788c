"""Short forms of overrides on the command line."""

import re
from collections.abc import Sequence

NAMED = re.compile(r"(?P<group>optimizer|schedule)\.name=(?P<names>.+)")


def expand(words: Sequence[str]) -> list[str]:
    """``optimizer.name=Adagrad`` is ``optimizer=Adagrad``, with the arguments that this class of PyTorch has; the same
    for ``schedule.name``.
    """
    return [match["group"] + "=" + match["names"] if (match := NAMED.fullmatch(word)) else word for word in words]
