"""Matrix products of whole tensors, on all threads, with the tiles of `numba_product`.

They are for tall matrices, `[T · B, features]`, for which they are faster than the BLAS that torch comes with on
processors of other makers. The bits do not depend on the number of threads.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from bionets.scan.cpu.buffers import empty
from bionets.scan.cpu.native import DEPTH, TILE_ROWS, padded
from bionets.scan.cpu.numba_compile import helper_address
from bionets.scan.cpu.threads import run_parts, split

Pair = tuple[Tensor, Tensor]

SMALL = 1 << 21  # multiplications below which a second thread does not pay


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """left @ right. The rows of `left` lie together in memory; those of the result are padded to whole vectors."""
    rows, inner = left.shape
    packed, size = pack(right), left.element_size()
    columns, left_row = packed.shape[1], left.stride(0)
    out = empty((rows, columns), left.dtype)
    target, source, factor = out.data_ptr(), left.data_ptr(), packed.data_ptr()
    parts = []
    for low, high in _bounds(rows, rows * inner * columns):
        here, there = target + low * columns * size, source + low * left_row * size
        parts.append((here, columns, there, left_row, factor, columns, high - low, inner))
    run_parts(helper_address("product", 8 * size), parts)
    return out[:, : right.shape[1]]


def multiply_transposed(sums: Sequence[Sequence[Pair]]) -> list[Tensor]:
    """For each sum of pairs the sum of left.T @ right. The rows of each matrix lie together in memory."""
    outs = [_zeros_for(*pairs[0]) for pairs in sums]
    for wave in itertools.zip_longest(*sums):  # the pairs of one sum are added one after the other
        products = [(out, *pair) for out, pair in zip(outs, wave, strict=True) if pair is not None]
        work = sum(out.numel() * len(left) for out, left, _ in products)
        scratch, parts = list[Tensor](), list[tuple[int, ...]]()
        for out, left, right in products:
            for low, high in _bounds(len(out), work):
                scratch.append(out.new_zeros(DEPTH, out.shape[1]))
                parts.append(_arguments(out, left, right, low, high, scratch[-1]))
        run_parts(helper_address("weight_product", 8 * outs[0].element_size()), parts, alone=work <= SMALL)
    return [out[:, : pairs[0][1].shape[1]].contiguous() for out, pairs in zip(outs, sums, strict=True)]


def _zeros_for(left: Tensor, right: Tensor) -> Tensor:
    return left.new_zeros(left.shape[1], padded(right.shape[1], right.element_size()))


def _arguments(out: Tensor, left: Tensor, right: Tensor, low: int, high: int, packed: Tensor) -> tuple[int, ...]:
    """Those of `weight_product`, for rows `low` to `high` of the result."""
    columns, size = out.shape[1], out.element_size()
    target, source = out.data_ptr() + low * columns * size, left.data_ptr() + low * size
    of_right = (right.data_ptr(), right.stride(0), packed.data_ptr())
    return (target, source, left.stride(0), *of_right, columns, high - low, len(left), right.shape[1])


def pack(matrix: Tensor) -> Tensor:
    """Contiguous, with the columns (of each matrix) padded to whole vectors."""
    columns = matrix.shape[-1]
    return torch.constant_pad_nd(matrix, (0, padded(columns, matrix.element_size()) - columns)).contiguous()


def _bounds(rows: int, multiplications: int) -> list[tuple[int, int]]:
    """The first row of each part and the row after its last."""
    return list(itertools.pairwise(split(rows, TILE_ROWS))) if multiplications > SMALL else [(0, rows)]
