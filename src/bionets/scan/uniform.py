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
    from bionets.scan.cpu.compile import function_address  # only here: a GPU needs no compiler for the CPU
    from bionets.scan.cpu.ir import Module, Value, select
    from bionets.scan.cpu.target import host

    module = Module(host())
    lanes, low = host().lanes(8), 0xFFFFFFFF
    vector = f"<{lanes} x i64>"
    names = ("address", "scratch", "size", "tiles", "begin", "end", "seed", "first_step")
    f = module.function("fill", {name: "ptr" if name in ("address", "scratch") else "i64" for name in names})
    address, scratch, size, tiles, begin, end, seed, first_step = f.arguments
    keys = [f.broadcast(seed & low, vector), f.broadcast(seed.unsigned_shift(32), vector)]
    places = Value(f, vector, f"<{', '.join(f'i64 {lane}' for lane in range(lanes))}>")

    def mixed(c: list[Value]) -> list[Value]:
        for number in range(ROUNDS):  # the key goes up with every round
            k0, k1 = ((key + number * step % (1 << 32)) & low for key, step in zip(keys, KEY_STEPS, strict=True))
            p, q = c[0] * MULTIPLIERS[0], c[2] * MULTIPLIERS[1]
            c = [q.unsigned_shift(32) ^ c[1] ^ k0, q & low, p.unsigned_shift(32) ^ c[3] ^ k1, p & low]
        return c

    with f.loop(begin, end) as number:
        done = number / tiles
        tile, step = number - done * tiles, first_step + done
        row = f.at(address, done * size * 4)
        whole = (tile + 1) * TILE <= size
        place = select(whole, f.at(row, tile * (4 * TILE)), scratch)
        counter = [f.broadcast(each, vector) for each in (step & low, step.unsigned_shift(32))]
        with f.loop(0, LANE, lanes) as lane:
            first = f.broadcast(tile * LANE + lane, vector) + places
            for quarter, word in enumerate(mixed([first, f.constant(vector, 0), *counter])):
                drawn = word.unsigned_shift(8).convert("trunc", "i32").convert("sitofp", "float") * 2.0**-24
                f.store(drawn, f.at(place, lane * 4 + 4 * LANE * quarter))
        with f.when(~whole), f.loop(0, size - tile * TILE) as i:
            f.store(f.load("float", f.at(scratch, i * 4)), f.at(row, (tile * TILE + i) * 4))
    f.finish()
    return function_address(module, "fill")
