"""Matrix products of whole tensors, on all threads, with the tiles of `product`.

They are meant for tall matrices, `[T · B, features]`, for which they are faster than the BLAS of torch on processors of
other vendors. The bits do not depend on the number of threads.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bionets.scan.cpu.buffers import empty
from bionets.scan.cpu.kernels import product_addresses
from bionets.scan.cpu.target import host
from bionets.scan.cpu.threads import run_parts, split

Pair = tuple[Tensor, Tensor]

SMALL = 1 << 21  # number of multiplications below which a second thread is not faster
SMALL_SUM = 1 << 16  # number of results of a sum of products of which there may be several copies
TERMS = 2048  # number of products in each copy


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """left @ right. The rows of `left` must be contiguous."""
    rows, inner = left.shape
    packed, size = pack(right), left.element_size()
    columns = right.shape[1]
    out = empty((rows, columns), left.dtype)
    out_row, left_row, factor = columns * size, left.stride(0) * size, (packed.data_ptr(), packed.shape[1] * size)

    def part(low: int, high: int) -> tuple[int, ...]:
        target, source = out.data_ptr() + low * out_row, left.data_ptr() + low * left_row
        return (target, out_row, source, left_row, *factor, columns, high - low, inner)

    parts = [part(*bounds) for bounds in _bounds(rows, rows * inner * columns)]
    run_parts(product_addresses(size)["product"], parts)
    return out


def multiply_transposed(sums: Sequence[Sequence[Pair]], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """For each list of pairs, the sum of left.T @ right, cropped to the rows and columns of its shape. The rows of each
    matrix must be contiguous.
    """
    parts, outs, swapped, work = [], [], [], 0
    for pairs, shape in zip(sums, shapes, strict=True):
        swap = _is_faster_swapped(shape, pairs[0][0].element_size())
        rows, columns = shape[::-1] if swap else shape
        factors = [pair[::-1] for pair in pairs] if swap else pairs
        count = sum(len(left) for left, _ in factors)
        if rows * columns <= SMALL_SUM:  # a thread computes some terms of all numbers, in a copy of the result
            terms, bounds = TERMS, [(0, rows)]
        else:  # a thread computes all terms of some numbers
            terms, bounds = max(1, count), _bounds(rows, rows * columns * count)
        cuts = [(pair, first) for pair in factors for first in range(0, max(1, len(pair[0])), terms)]
        out = factors[0][0].new_zeros(len(cuts), rows, columns)
        for copy, (pair, first) in enumerate(cuts):
            last = min(first + terms, len(pair[0]))
            parts += [_arguments(out, copy, *pair, first, last, low, high) for low, high in bounds]
        outs.append(out)
        swapped.append(swap)
        work += rows * columns * count
    if parts:
        run_parts(product_addresses(outs[0].element_size())["weight_product"], parts, alone=work <= SMALL)
    found = [out[0] if len(out) == 1 else out.sum(0) for out in outs]
    return [out.T.contiguous() if swap else out for out, swap in zip(found, swapped, strict=True)]


def _is_faster_swapped(shape: Sequence[int], size: int) -> bool:
    """Whether right.T @ left needs fewer vectors than left.T @ right, if each row is padded to whole vectors."""
    rows, columns = shape
    return columns * host().padded(rows, size) < rows * host().padded(columns, size)


def _arguments(
    out: Tensor, copy: int, left: Tensor, right: Tensor, first: int, last: int, low: int, high: int
) -> tuple[int, ...]:
    """The arguments of `weight_product`: rows `low` to `high` of a copy of the result, terms `first` to `last`."""
    (_, rows, columns), size = out.shape, out.element_size()
    left_row, right_row = left.stride(0) * size, right.stride(0) * size
    target = out.data_ptr() + (copy * rows + low) * columns * size
    factors = (
        left.data_ptr() + first * left_row + low * size,
        left_row,
        right.data_ptr() + first * right_row,
        right_row,
    )
    return (target, columns * size, *factors, columns, high - low, last - first)


def pack(matrix: Tensor) -> Tensor:
    """A contiguous copy, with the columns (of each matrix) padded to whole vectors."""
    columns = matrix.shape[-1]
    missing = host().padded(columns, matrix.element_size()) - columns
    return torch.constant_pad_nd(matrix, (0, missing)) if missing else matrix.contiguous()


def _bounds(rows: int, multiplications: int) -> list[tuple[int, int]]:
    """The first row of each part and the row after its last row."""
    return split(rows, host().tile_rows) if multiplications > SMALL else [(0, rows)]
