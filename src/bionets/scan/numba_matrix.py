"""Matrix products of whole tensors, on all threads, with the tiles of `numba_product`.

They are for tall matrices, `[T · B, features]`, for which they are faster than the BLAS that torch comes with on
processors of other makers. The bits do not depend on the number of threads.
"""

import torch
from torch import Tensor

from bionets.scan.buffers import empty
from bionets.scan.native import DEPTH, TILE_ROWS, padded
from bionets.scan.numba_compile import helper
from bionets.scan.threads import run_parts, split

SMALL = 1 << 21  # multiplications below which a second thread does not pay


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """left @ right. The rows of `left` lie together in memory; those of the result are padded to whole vectors."""
    rows, inner = left.shape
    packed, size = pack(right), left.element_size()
    columns = packed.shape[1]
    out = empty((rows, columns), left.dtype)
    product = helper("product", 8 * size, 7)

    def part(low: int, high: int) -> None:
        target, source = out.data_ptr() + low * columns * size, left.data_ptr() + low * left.stride(0) * size
        product(target, source, left.stride(0), packed.data_ptr(), columns, high - low, inner)

    run_parts(part, _bounds(rows, rows * inner * columns))
    return out[:, : right.shape[1]]


def multiply_transposed(*pairs: tuple[Tensor, Tensor]) -> Tensor:
    """The sum of left.T @ right over all pairs. The rows of each matrix lie together in memory."""
    (rows, width), size = (pairs[0][0].shape[1], pairs[0][1].shape[1]), pairs[0][0].element_size()
    columns = padded(width, size)
    out = torch.zeros(rows, columns, dtype=pairs[0][0].dtype)
    product = helper("weight_product", 8 * size, 10)

    def part(low: int, high: int) -> None:
        packed = torch.zeros(DEPTH, columns, dtype=out.dtype)
        for left, right in pairs:
            target, source = out[low:].data_ptr(), left.data_ptr() + low * size
            matrices = (target, source, left.stride(0), right.data_ptr(), right.stride(0), packed.data_ptr())
            product(*matrices, columns, high - low, left.shape[0], width)

    run_parts(part, _bounds(rows, rows * columns * sum(left.shape[0] for left, _ in pairs)))
    return out[:, :width].contiguous()


def pack(matrix: Tensor) -> Tensor:
    """Contiguous, with the columns (of each matrix) padded to whole vectors."""
    columns = matrix.shape[-1]
    return torch.constant_pad_nd(matrix, (0, padded(columns, matrix.element_size()) - columns)).contiguous()


def _bounds(rows: int, multiplications: int) -> list[int]:
    return split(rows, TILE_ROWS) if multiplications > SMALL else [0, rows]
