"""The small matrix product inside a dense recurrence: many times the same matrix, a few rows each time.

out[r, j] = sum over k of a[r, k] · packed[k, j], with the columns of `packed` padded to whole vectors. Written as tiles
of rows × vectors whose sums stay in registers. Every thread computes its own rows in a fixed order of summation.
"""

from typing import Any

from llvmlite import ir
from numba import int64, types
from numba.core import cgutils
from numba.extending import intrinsic

from bionets.scan.native import VECTOR_BYTES

TILE_ROWS = 4
WIDEST = 4 if VECTOR_BYTES == 64 else 3  # vectors of a tile, so that all its sums fit the registers
_INT = ir.IntType(64)


def _tile(element: Any, rows: int, vectors: int) -> Any:
    """The product for `rows` rows and `vectors` vectors of columns; addresses in bytes, row distances in elements."""
    size = 8 if element == ir.DoubleType() else 4
    lanes = VECTOR_BYTES // size
    vector = ir.VectorType(element, lanes)

    @intrinsic
    def tile(typing: Any, out: Any, out_row: Any, a: Any, a_row: Any, packed: Any, packed_row: Any, inner: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            out, out_row, a, a_row, packed, packed_row, inner = values

            def at(base: Any, row: Any, row_length: Any, column: Any, kind: Any) -> Any:
                index = builder.add(builder.mul(row, row_length), column)
                address = builder.add(base, builder.mul(index, _INT(size)))
                return builder.inttoptr(address, kind.as_pointer())

            kind = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{lanes}f{8 * size}")
            zero = ir.Constant(vector, [0.0] * lanes)
            sums = [[cgutils.alloca_once_value(builder, zero) for _ in range(vectors)] for _ in range(rows)]
            for row in sums:
                for each in row:
                    builder.store(zero, each)
            with cgutils.for_range(builder, inner) as loop:
                columns = []
                for v in range(vectors):
                    load = builder.load(at(packed, loop.index, packed_row, _INT(v * lanes), vector))
                    load.align = size
                    columns.append(load)
                for r in range(rows):
                    value = builder.load(at(a, _INT(r), a_row, loop.index, element))
                    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
                    mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
                    broadcast = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)
                    for v in range(vectors):
                        builder.store(builder.call(fma, [broadcast, columns[v], builder.load(sums[r][v])]), sums[r][v])
            for r in range(rows):
                for v in range(vectors):
                    store = builder.store(builder.load(sums[r][v]), at(out, _INT(r), out_row, _INT(v * lanes), vector))
                    store.align = size
            return context.get_dummy_value()

        return types.void(*[int64] * 7), emit

    return tile


def _product(element: Any) -> Any:
    size = 8 if element == ir.DoubleType() else 4
    lanes = VECTOR_BYTES // size
    wide1, wide2, wide3, wide4 = (_tile(element, TILE_ROWS, vectors) for vectors in (1, 2, 3, 4))
    thin1, thin2, thin3, thin4 = (_tile(element, 1, vectors) for vectors in (1, 2, 3, 4))

    def product(out: int, a: int, a_row: int, packed: int, columns: int, rows: int, inner: int) -> None:
        column = 0
        while column < columns:
            left = (columns - column) // lanes
            panels = (left + WIDEST - 1) // WIDEST
            vectors = (left + panels - 1) // panels  # panels of nearly equal width
            panel, target = packed + column * size, out + column * size
            row = 0
            while row < rows:
                here, there = target + row * columns * size, a + row * a_row * size
                if row + TILE_ROWS <= rows:
                    if vectors == 4:
                        wide4(here, columns, there, a_row, panel, columns, inner)
                    elif vectors == 3:
                        wide3(here, columns, there, a_row, panel, columns, inner)
                    elif vectors == 2:
                        wide2(here, columns, there, a_row, panel, columns, inner)
                    else:
                        wide1(here, columns, there, a_row, panel, columns, inner)
                    row += TILE_ROWS
                else:
                    if vectors == 4:
                        thin4(here, columns, there, a_row, panel, columns, inner)
                    elif vectors == 3:
                        thin3(here, columns, there, a_row, panel, columns, inner)
                    elif vectors == 2:
                        thin2(here, columns, there, a_row, panel, columns, inner)
                    else:
                        thin1(here, columns, there, a_row, panel, columns, inner)
                    row += 1
            column += vectors * lanes

    return product


product32, product64 = _product(ir.FloatType()), _product(ir.DoubleType())
