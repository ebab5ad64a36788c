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
from bionets.scan.numba_memory import load32, load64, store32, store64

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


def _panels(element: Any, accumulate: bool) -> Callable[..., None]:
    """The whole product, cut into tiles. `columns`, a multiple of a vector, is also the row length of out and b."""
    size = 8 if element == ir.DoubleType() else 4
    lanes = VECTOR_BYTES // size
    wide1, wide2, wide3, wide4 = (_tile(element, TILE_ROWS, vectors, accumulate) for vectors in (1, 2, 3, 4))
    thin1, thin2, thin3, thin4 = (_tile(element, 1, vectors, accumulate) for vectors in (1, 2, 3, 4))

    @njit(error_model="numpy")
    def panels(out: int, a: int, a_row: int, a_step: int, b: int, columns: int, rows: int, inner: int) -> None:
        column = 0
        while column < columns:
            left = (columns - column) // lanes
            count = (left + WIDEST - 1) // WIDEST
            vectors = (left + count - 1) // count  # panels of nearly equal width
            panel, target = b + column * size, out + column * size
            row = 0
            while row < rows:
                here, there = target + row * columns * size, a + row * a_row * size
                if row + TILE_ROWS <= rows:
                    if vectors == 4:
                        wide4(here, columns, there, a_row, a_step, panel, columns, inner)
                    elif vectors == 3:
                        wide3(here, columns, there, a_row, a_step, panel, columns, inner)
                    elif vectors == 2:
                        wide2(here, columns, there, a_row, a_step, panel, columns, inner)
                    else:
                        wide1(here, columns, there, a_row, a_step, panel, columns, inner)
                    row += TILE_ROWS
                else:
                    if vectors == 4:
                        thin4(here, columns, there, a_row, a_step, panel, columns, inner)
                    elif vectors == 3:
                        thin3(here, columns, there, a_row, a_step, panel, columns, inner)
                    elif vectors == 2:
                        thin2(here, columns, there, a_row, a_step, panel, columns, inner)
                    else:
                        thin1(here, columns, there, a_row, a_step, panel, columns, inner)
                    row += 1
            column += vectors * lanes

    return panels


def _products(element: Any, load: Any, store: Any) -> dict[str, Callable[..., None]]:
    size = 8 if element == ir.DoubleType() else 4
    multiply, accumulate = _panels(element, False), _panels(element, True)

    def product(out: int, a: int, a_row: int, b: int, columns: int, rows: int, inner: int) -> None:
        """out[r, j] = sum over k of a[r, k] · b[k, j], with b and out `columns` wide."""
        for first in range(0, rows, ROWS):
            here, there = out + first * columns * size, a + first * a_row * size
            multiply(here, there, a_row, 1, b, columns, min(ROWS, rows - first), inner)

    def weight_product(
        out: int, a: int, a_row: int, b: int, b_row: int, packed: int, columns: int, rows: int, inner: int, width: int
    ) -> None:
        """out[r, j] += sum over k of a[k, r] · b[k, j] for j < width, by way of `packed`, [DEPTH, columns] of zeros."""
        for first in range(0, inner, DEPTH):
            depth = min(DEPTH, inner - first)
            for k in range(depth):
                source, target = b + (first + k) * b_row * size, packed + k * columns * size
                for j in range(width):
                    store(target, j, load(source, j))
            accumulate(out, a + first * a_row * size, 1, a_row, packed, columns, rows, depth)

    return {"product": product, "weight_product": weight_product}


products32 = _products(ir.FloatType(), load32, store32)
products64 = _products(ir.DoubleType(), load64, store64)
