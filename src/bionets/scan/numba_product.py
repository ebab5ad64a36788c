"""Small matrix products: the recurrent one inside each time step, and the weight gradient after the last.

Both are tiles of rows × vectors whose sums stay in registers. Each number is summed by one thread in one order, so the
result depends neither on timing nor on the number of threads; and no library's threads get in the way of ours.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import int64, njit, types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from bionets.scan.native import DEPTH, TILE_ROWS, VECTOR_BYTES
from bionets.scan.numba_vectors import copy32, copy64

intrinsic: Any = _intrinsic  # its type hints do not know what it does to a signature

WIDEST = 4 if VECTOR_BYTES == 64 else 3  # vectors of a tile, so that all its sums fit the registers
ROWS = 120  # rows that meet all of the second factor before the next ones are read
_INT = ir.IntType(64)


def _tile(element: Any, rows: int, vectors: int, accumulate: bool) -> Any:
    """out[r, j] (+)= sum over k of a[r, k] · b[k, j] for a few rows r and vectors of columns j.

    Addresses in bytes; `out_row`, `a_row`, `a_step`, `b_row` are distances in elements: of rows, and of a[r, k] in k.
    """
    size = 8 if element == ir.DoubleType() else 4
    lanes = VECTOR_BYTES // size
    vector = ir.VectorType(element, lanes)

    @intrinsic
    def tile(
        typing: Any, out: Any, out_row: Any, a: Any, a_row: Any, a_step: Any, b: Any, b_row: Any, inner: Any
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            out, out_row, a, a_row, a_step, b, b_row, inner = values

            def at(base: Any, elements: Any, kind: Any) -> Any:
                return builder.inttoptr(builder.add(base, builder.mul(elements, _INT(size))), kind.as_pointer())

            def target(r: int, v: int) -> Any:
                return at(out, builder.add(builder.mul(out_row, _INT(r)), _INT(v * lanes)), vector)

            def load(pointer: Any) -> Any:
                loaded = builder.load(pointer)
                loaded.align = size
                return loaded

            kind = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{lanes}f{8 * size}")
            zero = ir.Constant(vector, [0.0] * lanes)
            sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(rows)]
            for r in range(rows):
                for v in range(vectors):
                    builder.store(load(target(r, v)) if accumulate else zero, sums[r][v])
            with cgutils.for_range(builder, inner) as loop:
                row = builder.mul(loop.index, b_row)
                columns = [load(at(b, builder.add(row, _INT(v * lanes)), vector)) for v in range(vectors)]
                step = builder.mul(loop.index, a_step)
                for r in range(rows):
                    value = builder.load(at(a, builder.add(step, builder.mul(a_row, _INT(r))), element))
                    undefined = ir.Constant(vector, ir.Undefined)
                    first = builder.insert_element(undefined, value, ir.IntType(32)(0))
                    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
                    broadcast = builder.shuffle_vector(first, undefined, everywhere)
                    for v in range(vectors):
                        builder.store(builder.call(fma, [broadcast, columns[v], builder.load(sums[r][v])]), sums[r][v])
            for r in range(rows):
                for v in range(vectors):
                    builder.store(builder.load(sums[r][v]), target(r, v)).align = size
            return context.get_dummy_value()

        return types.void(*[int64] * 8), emit

    return tile


def _strip(element: Any, vectors: int, accumulate: bool) -> Callable[..., None]:
    """All rows of a few vectors of columns."""
    size = 8 if element == ir.DoubleType() else 4
    wide, pair, thin = (_tile(element, rows, vectors, accumulate) for rows in (TILE_ROWS, 2, 1))

    @njit(error_model="numpy", forceinline=True)  # for then the steps that are 1 are known to LLVM
    def strip(
        out: int, out_row: int, a: int, a_row: int, a_step: int, b: int, b_row: int, rows: int, inner: int
    ) -> None:
        row = 0
        while row < rows:
            here, there = out + row * out_row * size, a + row * a_row * size
            if row + TILE_ROWS <= rows:
                wide(here, out_row, there, a_row, a_step, b, b_row, inner)
                row += TILE_ROWS
            elif accumulate and row + 2 <= rows:  # features are often few, so that the last ones count
                pair(here, out_row, there, a_row, a_step, b, b_row, inner)
                row += 2
            else:
                thin(here, out_row, there, a_row, a_step, b, b_row, inner)
                row += 1

    return strip


def _panels(element: Any, accumulate: bool) -> Callable[..., None]:
    """The whole product, strip by strip; `columns` is a multiple of a vector.

    Rows of `out` may be shorter than `columns`: what one runs over into is written after it.
    """
    size = 8 if element == ir.DoubleType() else 4
    lanes = VECTOR_BYTES // size
    strip1, strip2, strip3, strip4 = (_strip(element, vectors, accumulate) for vectors in (1, 2, 3, 4))

    @njit(error_model="numpy", forceinline=True)
    def panels(
        out: int, out_row: int, a: int, a_row: int, a_step: int, b: int, b_row: int, columns: int, rows: int, inner: int
    ) -> None:
        left = columns // lanes
        while left > 0:  # from right to left, for the sake of short rows
            count = (left + WIDEST - 1) // WIDEST
            vectors = (left + count - 1) // count  # strips of nearly equal width
            left -= vectors
            target, panel = out + left * lanes * size, b + left * lanes * size
            if vectors == 4:
                strip4(target, out_row, a, a_row, a_step, panel, b_row, rows, inner)
            elif vectors == 3:
                strip3(target, out_row, a, a_row, a_step, panel, b_row, rows, inner)
            elif vectors == 2:
                strip2(target, out_row, a, a_row, a_step, panel, b_row, rows, inner)
            else:
                strip1(target, out_row, a, a_row, a_step, panel, b_row, rows, inner)

    return panels


def _products(element: Any, copy: Any) -> dict[str, Callable[..., None]]:
    size = 8 if element == ir.DoubleType() else 4
    lanes = VECTOR_BYTES // size
    multiply, accumulate = _panels(element, False), _panels(element, True)

    def product(out: int, a: int, a_row: int, b: int, width: int, rows: int, inner: int) -> None:
        """out[r, j] = sum over k of a[r, k] · b[k, j] for j < width, with b padded to whole vectors. The rows of out
        adjoin, and what follows the last one, up to a whole vector, is overwritten."""
        columns = (width + lanes - 1) // lanes * lanes
        for first in range(0, rows, ROWS):
            here, there = out + first * width * size, a + first * a_row * size
            multiply(here, width, there, a_row, 1, b, columns, columns, min(ROWS, rows - first), inner)

    def weight_product(
        out: int, a: int, a_row: int, b: int, b_row: int, packed: int, columns: int, rows: int, inner: int, width: int
    ) -> None:
        """out[r, j] += sum over k of a[k, r] · b[k, j] for j < width. Whole vectors of b are read, and what lies behind
        a row ends in columns of no interest; so the last rows go by way of `packed`, [DEPTH, columns] of zeros."""
        for first in range(0, inner, DEPTH):
            depth = min(DEPTH, inner - first)
            here, there = a + first * a_row * size, b + first * b_row * size
            there_row = b_row
            if (inner - first - depth) * b_row < lanes:
                for k in range(depth):
                    copy(packed + k * columns * size, there + k * b_row * size, width)
                there, there_row = packed, columns
            accumulate(out, columns, here, 1, a_row, there, there_row, columns, rows, depth)

    return {"product": product, "weight_product": weight_product}


products32, products64 = _products(ir.FloatType(), copy32), _products(ir.DoubleType(), copy64)
