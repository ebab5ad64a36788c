"""Matrix products of whole tensors, on all threads, with the tiles of `product`.

They are meant for tall matrices, `[T · B, features]`, for which they are faster than the BLAS of torch on processors of
other vendors. The bits do not depend on the number of threads.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from bionets.scan.cpu.buffers import empty
from bionets.scan.cpu.kernels import product_addresses
from bionets.scan.cpu.target import host
from bionets.scan.cpu.threads import run_parts, split

Pair = tuple[Tensor, Tensor]

SMALL = 1 << 21  # number of multiplications below which a second thread is not faster


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
    swapped = [_is_faster_swapped(shape, pairs[0][0].element_size()) for pairs, shape in zip(sums, shapes, strict=True)]
    sums = [[pair[::-1] for pair in pairs] if swap else pairs for pairs, swap in zip(sums, swapped, strict=True)]
    shapes = [shape[::-1] if swap else shape for shape, swap in zip(shapes, swapped, strict=True)]
    outs = [pairs[0][0].new_zeros(shape) for pairs, shape in zip(sums, shapes, strict=True)]
    for wave in itertools.zip_longest(*sums):  # the pairs of one sum are added one after the other
        products = [(out, *pair) for out, pair in zip(outs, wave, strict=True) if pair is not None]
        work = sum(out.numel() * len(left) for out, left, _ in products)
        parts = [
            _arguments(out, left, right, low, high)
            for out, left, right in products
            for low, high in _bounds(len(out), work)
        ]
        run_parts(product_addresses(outs[0].element_size())["weight_product"], parts, alone=work <= SMALL)
    return [out.T.contiguous() if swap else out for out, swap in zip(outs, swapped, strict=True)]


def _is_faster_swapped(shape: Sequence[int], size: int) -> bool:
    """Whether right.T @ left needs fewer vectors than left.T @ right, if each row is padded to whole vectors."""
    rows, columns = shape
    return columns * host().padded(rows, size) < rows * host().padded(columns, size)


def _arguments(out: Tensor, left: Tensor, right: Tensor, low: int, high: int) -> tuple[int, ...]:
    """The arguments of `weight_product` for rows `low` to `high` of the result."""
    columns, size = out.shape[1], out.element_size()
    target, source = out.data_ptr() + low * columns * size, left.data_ptr() + low * size
    rows = (columns * size, source, left.stride(0) * size, right.data_ptr(), right.stride(0) * size)
    return (target, *rows, columns, high - low, len(left))


def pack(matrix: Tensor) -> Tensor:
    """A contiguous copy, with the columns (of each matrix) padded to whole vectors."""
    columns = matrix.shape[-1]
    missing = host().padded(columns, matrix.element_size()) - columns
    return torch.constant_pad_nd(matrix, (0, missing)) if missing else matrix.contiguous()


def _bounds(rows: int, multiplications: int) -> list[tuple[int, int]]:
    """The first row of each part and the row after its last row."""
    return split(rows, host().tile_rows) if multiplications > SMALL else [(0, rows)]
