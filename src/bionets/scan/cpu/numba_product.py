"""Small matrix products: the recurrent one inside each time step, and the weight gradient after the last.

Both are tiles of rows × vectors whose sums stay in registers. Each number is summed by one thread in one order, so the
result depends neither on timing nor on the number of threads; and no library's threads get in the way of ours.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import int64, types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

from bionets.scan.cpu.native import DEPTH, TILE_ROWS, VECTOR_BYTES
from bionets.scan.cpu.numba_vectors import copy32, copy64

intrinsic: Any = _intrinsic  # its type hints do not know what it does to a signature

WIDEST = 4 if VECTOR_BYTES == 64 else 3  # vectors of a tile, so that all its sums fit the registers
ROWS = 120  # rows that meet all of the second factor before the next ones are read
_INT = ir.IntType(64)


class _Product:
    """Writes the loops of out[r, j] (+)= sum over k of a[r, k] · b[k, j] in LLVM's language.

    Written there at once, and not as functions for Numba, they compile in a third of the time. Addresses are in bytes;
    `out_row`, `a_row`, `a_step`, `b_row` are distances in elements: of rows, and of a[r, k] in k. `columns` is a
    multiple of a vector; rows of `out` may be shorter: what one runs over into is written after it.
    """

    def __init__(self, builder: Any, element: Any, accumulate: bool, values: Any) -> None:
        self.builder, self.element, self.accumulate = builder, element, accumulate
        self.out, self.out_row, self.a, self.a_row, self.a_step, self.b, self.b_row, *sizes = values
        self.columns, self.rows, self.inner = sizes
        self.size = 8 if element == ir.DoubleType() else 4
        self.lanes = VECTOR_BYTES // self.size
        self.vector = ir.VectorType(element, self.lanes)
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fma.v{self.lanes}f{8 * self.size}"
        self.fma = cgutils.get_or_insert_function(builder.module, kind, name)

    def strips(self) -> None:
        """Strips of columns of nearly equal width, from right to left, for the sake of short rows."""
        builder = self.builder
        vectors = builder.udiv(self.columns, _INT(self.lanes))
        left = cgutils.alloca_once_value(builder, vectors)
        with cgutils.for_range(builder, self._rounded_up(vectors, _INT(WIDEST))):
            before = builder.load(left)
            width = self._rounded_up(before, self._rounded_up(before, _INT(WIDEST)))
            begin = builder.sub(before, width)
            builder.store(begin, left)
            column = builder.mul(begin, _INT(self.lanes))
            for vectors_of_strip in range(1, WIDEST + 1):
                with builder.if_then(builder.icmp_unsigned("==", width, _INT(vectors_of_strip))):
                    self.strip(self.at(self.out, column), self.at(self.b, column), vectors_of_strip)

    def strip(self, out: Any, b: Any, vectors: int) -> None:
        """All rows of a few vectors of columns: high tiles, then lower ones for the rows that remain."""
        builder, done = self.builder, _INT(0)
        # Features, the rows of a weight gradient, are often few, so that the last ones count.
        for height in (TILE_ROWS, 2, 1) if self.accumulate else (TILE_ROWS, 1):
            left = builder.sub(self.rows, done)
            end = builder.add(done, builder.sub(left, builder.urem(left, _INT(height))))
            with cgutils.for_range_slice(builder, done, end, _INT(height), _INT) as (row, _):
                here = self.at(out, builder.mul(row, self.out_row))
                self.tile(here, self.at(self.a, builder.mul(row, self.a_row)), b, height, vectors)
            done = end

    def tile(self, out: Any, a: Any, b: Any, rows: int, vectors: int) -> None:
        builder, places = self.builder, [(r, v) for r in range(rows) for v in range(vectors)]
        zero = ir.Constant(self.vector, [0.0] * self.lanes)
        target = {
            (r, v): self.at(out, builder.add(builder.mul(self.out_row, _INT(r)), _INT(v * self.lanes)))
            for r, v in places
        }
        sums = {place: cgutils.alloca_once_value(builder, zero) for place in places}
        for place in places:
            builder.store(self.load(target[place], self.vector) if self.accumulate else zero, sums[place])
        with cgutils.for_range(builder, self.inner) as loop:
            row, step = builder.mul(loop.index, self.b_row), builder.mul(loop.index, self.a_step)
            columns = [
                self.load(self.at(b, builder.add(row, _INT(v * self.lanes))), self.vector) for v in range(vectors)
            ]
            for r in range(rows):
                value = self.load(self.at(a, builder.add(step, builder.mul(self.a_row, _INT(r)))), self.element)
                everywhere = self.broadcast(value)
                for v in range(vectors):
                    total = builder.load(sums[r, v])
                    builder.store(builder.call(self.fma, [everywhere, columns[v], total]), sums[r, v])
        for place in places:
            pointer = builder.inttoptr(target[place], self.vector.as_pointer())
            builder.store(builder.load(sums[place]), pointer, align=self.size)

    def at(self, base: Any, elements: Any) -> Any:
        return self.builder.add(base, self.builder.mul(elements, _INT(self.size)))

    def load(self, address: Any, kind: Any) -> Any:
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=self.size)

    def broadcast(self, value: Any) -> Any:
        number = ir.IntType(32)
        zeros = ir.Constant(ir.VectorType(number, self.lanes), [0] * self.lanes)
        first = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), value, number(0))
        return self.builder.shuffle_vector(first, first, zeros)

    def _rounded_up(self, a: Any, b: Any) -> Any:
        """⌈a / b⌉"""
        return self.builder.udiv(self.builder.add(a, self.builder.sub(b, _INT(1))), b)


def _multiply(element: Any, accumulate: bool) -> Any:
    @intrinsic
    def multiply(
        typing: Any,
        out: Any,
        out_row: Any,
        a: Any,
        a_row: Any,
        a_step: Any,
        b: Any,
        b_row: Any,
        columns: Any,
        rows: Any,
        inner: Any,
    ) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            _Product(builder, element, accumulate, values).strips()
            return context.get_dummy_value()

        return types.void(*[int64] * 10), emit

    return multiply


def _products(element: Any, copy: Any) -> dict[str, Callable[..., None]]:
    size = 8 if element == ir.DoubleType() else 4
    lanes = VECTOR_BYTES // size
    multiply, accumulate = _multiply(element, False), _multiply(element, True)

    def product(out: int, out_row: int, a: int, a_row: int, b: int, columns: int, rows: int, inner: int) -> None:
        """out[r, j] = sum over k of a[r, k] · b[k, j] for j < columns, which are whole vectors. Rows of out may be
        shorter; what follows the last one is then overwritten up to `columns`."""
        for first in range(0, rows, ROWS):
            here, there = out + first * out_row * size, a + first * a_row * size
            multiply(here, out_row, there, a_row, 1, b, columns, columns, min(ROWS, rows - first), inner)

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
