"""Pairs of binary numbers of any length: drawing and adding many pairs at once, and assigning them to disjoint splits.

A pair is a column of a uint8 tensor ``[steps, N, 2]``: the bits of its two numbers, lowest first, padded with zeros.
"""

import hashlib

import torch
from torch import Generator, Tensor

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
SMALLEST_DISJOINT_LENGTH = 8
"""From this length on, training, validation and test pairs never overlap. Below it there are too few pairs to deal out
(4 at length 3, 192 at length 7), and all splits draw from all of them."""


def draw_pairs(length: int, size: int, generator: Generator) -> Tensor:
    """Draw ``size`` pairs of numbers whose lengths sum to ``length``, ``[length + 1, size, 2]``.

    The length of the first number is uniform in 1 … length − 1. The highest bits are 1, lower bits are uniform.
    """
    first = torch.randint(1, length, (size,), generator=generator)
    highest = torch.stack([first, length - first], dim=1) - 1
    step = torch.arange(length + 1).view(-1, 1, 1)
    bits = torch.randint(0, 2, (length + 1, size, 2), dtype=torch.uint8, generator=generator)
    return bits * (step < highest) + (step == highest)


def add(pairs: Tensor) -> Tensor:
    """The sum of the two numbers of each pair, ``[steps, N]``, by carrying from step to step.

    With bits a, b and carry c, the bit of the sum is (a + b + c) mod 2 and the next carry is ⌊(a + b + c) / 2⌋.
    """
    total = pairs.sum(dim=2, dtype=torch.uint8)
    for step in range(1, len(total)):
        total[step] += total[step - 1] >> 1
    return total & 1


def split_of(pairs: Tensor) -> Tensor:
    """The split of each pair, ``[N]``, as an index of `SHARES`.

    The split is a fixed hash of the bits, the same for every seed. The hash is symmetric: exchanging the two numbers of
    a pair does not change its split.
    """
    hashes = torch.zeros(pairs.shape[1:], dtype=torch.int64)
    for step, bits in enumerate(pairs):
        hashes += bits.long() * _weight(step)
    hashes = (hashes ^ (hashes >> 32)) * _weight(-1)
    bounds = torch.tensor(list(SHARES.values())).cumsum(0)[:-1]
    uniform = (hashes.sum(dim=1) >> 40).remainder(10_000) / 10_000
    return torch.bucketize(uniform, bounds, right=True)


def draw_pairs_of_split(split: str, length: int, size: int, generator: Generator) -> Tensor:
    """Draw ``size`` pairs that belong to ``split``, see `draw_pairs`."""
    if length < SMALLEST_DISJOINT_LENGTH:
        return draw_pairs(length, size, generator)
    index = list(SHARES).index(split)
    kept: list[Tensor] = []
    missing = size
    while missing > 0:
        candidates = draw_pairs(length, int(1.05 * missing / SHARES[split]) + 50, generator)
        chosen = (split_of(candidates) == index).nonzero().squeeze(1)[:missing]
        kept.append(candidates.index_select(1, chosen))
        missing -= len(chosen)
    return torch.cat(kept, dim=1)


def _weight(step: int) -> int:
    """A fixed random odd 64-bit integer for each position."""
    return int.from_bytes(hashlib.sha256(str(step).encode()).digest()[:8], "little", signed=True) | 1
