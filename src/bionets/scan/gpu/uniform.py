"""The random numbers of `bionets.scan.uniform`, computed on a GPU."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from bionets.scan.uniform import LANE, ROUNDS

GRID = 65535  # CUDA's limit on the second axis


@triton.jit(do_not_specialize=("seed", "first_step"))  # type: ignore[untyped-decorator,unused-ignore]
def _fill(out, size, seed, first_step, LANE: tl.constexpr, ROUNDS: tl.constexpr):  # type: ignore[no-untyped-def]
    tile, row = tl.program_id(0), tl.program_id(1)
    lane = tl.arange(0, LANE)
    step = first_step + row.to(tl.int64)
    counter = (tile * LANE + lane).to(tl.uint32)
    zero = counter * 0
    low, high = zero + (step & 0xFFFFFFFF).to(tl.uint32), zero + ((step >> 32) & 0xFFFFFFFF).to(tl.uint32)
    words = tl.philox(seed, counter, zero, low, high, ROUNDS)
    place = tile.to(tl.int64) * (4 * LANE) + lane
    for quarter in tl.static_range(4):
        number = (words[quarter] >> 8).to(tl.int32).to(tl.float32) * (1 / 16777216)
        tl.store(out + row.to(tl.int64) * size + place + quarter * LANE, number, place + quarter * LANE < size)


def fill(numbers: Tensor, seed: int, first_step: int) -> None:
    """Fill ``[steps, size]``, contiguous."""
    steps, size = numbers.shape
    with torch.cuda.device(numbers.device) if numbers.is_cuda else torch.no_grad():
        for begin in range(0, steps, GRID):
            rows = numbers[begin : begin + GRID]
            grid = (-(-size // (4 * LANE)), len(rows))
            _fill[grid](rows, size, seed, first_step + begin, LANE=LANE, ROUNDS=ROUNDS, enable_fp_fusion=False)
