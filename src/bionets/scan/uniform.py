"""Uniform random numbers that are a function of a seed, a step and a place: the counter-based generator Philox4x32-7.

Counters need no state, so threads fill any part in any order, and a stream goes on wherever it was left. Source: Salmon
et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; 7 rounds are the fewest that pass all of TestU01.
"""

import functools
import importlib.util
import itertools
import math

import numpy as np
import torch
from torch import Tensor

from bionets.scan.cpu.buffers import empty
from bionets.scan.cpu.threads import run_parts, split

__all__ = ["uniform"]

ROUNDS = 7
MULTIPLIERS, KEY_STEPS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
LANE = 512  # counters of a tile; each gives four numbers, LANE apart: constant distances, so that LLVM vectorises
TILE = 4 * LANE
GRAIN = 8  # tiles below which a second thread does not pay


def uniform(seed: int, first_step: int, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """Numbers in [0, 1), float32 ``[steps, *]``: multiples of 2⁻²⁴, for the steps from ``first_step`` on.

    Those of a step depend on the seed (63 bits), on the number of the step and on their place in it alone: they are the
    same on every device.
    """
    device, seed = torch.device(device), seed % (1 << 63)
    if device.type == "meta" or not math.prod(shape):
        return torch.empty(shape, device=device)
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return _on_cpu(seed, first_step, shape).to(device)
    numbers = torch.empty(shape, device=device)
    importlib.import_module("bionets.scan.gpu.uniform").fill(numbers.flatten(1), seed, first_step, LANE, ROUNDS)
    return numbers


def _on_cpu(seed: int, first_step: int, shape: tuple[int, ...]) -> Tensor:
    numbers = empty(shape, torch.float32)
    size = numbers[0].numel()
    tiles = -(-size // TILE)  # of a step
    bounds = split(shape[0] * tiles, GRAIN)
    scratch = np.empty((len(bounds) - 1, TILE), np.float32)
    run_parts(
        _fill(),
        [
            (numbers.data_ptr(), scratch[i].ctypes.data, size, tiles, low, high, seed, first_step)
            for i, (low, high) in enumerate(itertools.pairwise(bounds))
        ],
    )
    return numbers


@functools.cache
def _fill() -> int:
    from bionets.scan.cpu.numba_compile import compile_function  # only here: a GPU needs no compiler for the CPU

    text = _TEMPLATE.format(rounds="".join(map(_round, range(ROUNDS))), lane=LANE, tile=TILE, tile_bytes=4 * TILE)
    return compile_function(text, "fill")


def _round(number: int) -> str:
    """One round on the counter c0…c3; the key goes up with every round."""
    add0, add1 = (number * step % (1 << 32) for step in KEY_STEPS)
    return f"""
            p, q = c0 * uint64({MULTIPLIERS[0]}), c2 * uint64({MULTIPLIERS[1]})
            c0, c1 = (q >> half) ^ c1 ^ ((k0 + uint64({add0})) & low), q & low
            c2, c3 = (p >> half) ^ c3 ^ ((k1 + uint64({add1})) & low), p & low"""


_TEMPLATE = """
from numba import float32, int32, uint64
from bionets.scan.cpu.numba_memory import load32, store32

def fill(address, scratch, size, tiles, begin, end, seed, first_step):
    low, half, eight, unit = uint64(0xFFFFFFFF), uint64(32), uint64(8), float32(2.0**-24)
    k0, k1 = uint64(seed) & low, uint64(seed) >> half
    for number in range(begin, end):
        done = number // tiles
        tile = number - done * tiles
        step = first_step + done
        row = address + 4 * done * size
        whole = (tile + 1) * {tile} <= size
        place = row + tile * {tile_bytes} if whole else scratch
        for i in range({lane}):
            c0, c1, c2, c3 = uint64(tile * {lane} + i), uint64(0), uint64(step) & low, uint64(step) >> half{rounds}
            store32(place, i, float32(int32(c0 >> eight)) * unit)
            store32(place, {lane} + i, float32(int32(c1 >> eight)) * unit)
            store32(place, 2 * {lane} + i, float32(int32(c2 >> eight)) * unit)
            store32(place, 3 * {lane} + i, float32(int32(c3 >> eight)) * unit)
        if not whole:
            for i in range(size - tile * {tile}):
                store32(row, tile * {tile} + i, load32(scratch, i))
"""
