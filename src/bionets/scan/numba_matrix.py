"""Matrix products of whole tensors, on all threads, with the tiles of `numba_product`.

They are for tall matrices, `[T · B, features]`, for which they are faster than the BLAS that torch comes with on
processors of other makers. The bits do not depend on the number of threads.
"""

import itertools

import torch
from torch import Tensor

from bionets.scan.buffers import empty
from bionets.scan.native import DEPTH, TILE_ROWS, padded
from bionets.scan.numba_compile import helper_address
from bionets.scan.threads import run_parts, split

SMALL = 1 << 21  # multiplications below which a second thread does not pay


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """left @ right. The rows of `left` lie together in memory; those of the result are padded to whole vectors."""
    rows, inner = left.shape
    packed, size = pack(right), left.element_size()
    columns = packed.shape[1]
    out = empty((rows, columns), left.dtype)
    target, source, left_row, factor = out.data_ptr(), left.data_ptr(), left.stride(0), packed.data_ptr()
    run_parts(
        helper_address("product", 8 * size),
        [
            (
                target + low * columns * size,
                source + low * left_row * size,
                left_row,
                factor,
                columns,
                high - low,
                inner,
            )
            for low, high in _parts(rows, rows * inner * columns)
        ],
    )
    return out[:, : right.shape[1]]


def multiply_transposed(*pairs: tuple[Tensor, Tensor]) -> Tensor:
    """The sum of left.T @ right over all pairs. The rows of each matrix lie together in memory."""
    (rows, width), size = (pairs[0][0].shape[1], pairs[0][1].shape[1]), pairs[0][0].element_size()
    columns = padded(width, size)
    out = torch.zeros(rows, columns, dtype=pairs[0][0].dtype)
    for left, right in pairs:
        inner = left.shape[0]
        parts = _parts(rows, rows * columns * inner)
        targets = [out.data_ptr() + low * columns * size for low, _ in parts]
        sources = [left.data_ptr() + low * size for low, _ in parts]
        packed = torch.zeros(len(parts), DEPTH, columns, dtype=out.dtype)
        left_row, right_row, factor = left.stride(0), right.stride(0), right.data_ptr()
        run_parts(
            helper_address("weight_product", 8 * size),
            [
                (target, source, left_row, factor, right_row, scratch.data_ptr(), columns, high - low, inner, width)
                for target, source, scratch, (low, high) in zip(targets, sources, packed, parts, strict=True)
            ],
        )
    return out[:, :width].contiguous()


def pack(matrix: Tensor) -> Tensor:
    """Contiguous, with the columns (of each matrix) padded to whole vectors."""
    columns = matrix.shape[-1]
    return torch.constant_pad_nd(matrix, (0, padded(columns, matrix.element_size()) - columns)).contiguous()


def _parts(rows: int, multiplications: int) -> list[tuple[int, int]]:
    """The first row of each part and the row after its last."""
    return list(itertools.pairwise(split(rows, TILE_ROWS) if multiplications > SMALL else [0, rows]))
