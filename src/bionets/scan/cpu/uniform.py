"""The random numbers of `bionets.scan.uniform`, computed on the CPU."""

import functools

import numpy as np
from torch import Tensor

from bionets.scan.cpu.compile import function_address
from bionets.scan.cpu.ir import Module
from bionets.scan.cpu.target import host
from bionets.scan.cpu.threads import run_parts, split
from bionets.scan.cpu.values import Value, select
from bionets.scan.uniform import LANE, ROUNDS

MULTIPLIERS, KEY_STEPS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
TILE = 4 * LANE
GRAIN = 8  # number of tiles below which a second thread is not faster


def fill(numbers: Tensor, seed: int, first_step: int) -> None:
    """Fill ``[steps, size]``, contiguous."""
    size = numbers.shape[1]
    tiles = -(-size // TILE)  # of a step
    bounds = split(len(numbers) * tiles, GRAIN)
    scratch = np.empty((len(bounds), TILE), np.float32)
    run_parts(
        _fill(),
        [
            (numbers.data_ptr(), scratch[i].ctypes.data, size, tiles, low, high, seed, first_step)
            for i, (low, high) in enumerate(bounds)
        ],
    )


@functools.cache
def _fill() -> int:
    module = Module(host())
    lanes, low = host().lanes(8), 0xFFFFFFFF
    vector = f"<{lanes} x i64>"
    names = ("address", "scratch", "size", "tiles", "begin", "end", "seed", "first_step")
    f = module.function("fill", {name: "ptr" if name in ("address", "scratch") else "i64" for name in names})
    address, scratch, size, tiles, begin, end, seed, first_step = f.arguments
    keys = [f.broadcast(seed & low, vector), f.broadcast(seed.unsigned_shift(32), vector)]
    places = Value(f, vector, f"<{', '.join(f'i64 {lane}' for lane in range(lanes))}>")

    def mixed(c: list[Value]) -> list[Value]:
        for number in range(ROUNDS):  # the key increases with every round
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
        with f.if_true(~whole), f.loop(0, size - tile * TILE) as i:
            f.store(f.load("float", f.at(scratch, i * 4)), f.at(row, (tile * TILE + i) * 4))
    f.finish()
    return function_address(module, "fill")
