"""Small matrix products: the recurrent product in each time step, and the weight gradient after the last step.

Both use tiles of rows × vectors whose sums stay in registers. Each number is summed by one thread in a fixed order, so
the result depends neither on timing nor on the number of threads. No thread pool of another library is involved.
"""

from dataclasses import dataclass

from bionets.scan.cpu.ir import Function, Module
from bionets.scan.cpu.values import Value, at_most, fma

ROWS = 120  # rows that are multiplied with the whole second factor before the next ones are read
DEPTH = 64  # terms summed at a time in a weight gradient: two threads of a core share its first-level cache

NAMES = ("product", "add_product", "weight_product")


def define_products(module: Module, size: int) -> None:
    """Define the three functions of `NAMES`, for floats with this number of bytes. All distances are in bytes.

    product, add_product:  out[r, j] (+)= sum over k < inner of a[r, k] · b[k, j], for r < rows and j < columns
    weight_product:        out[r, j]  += sum over k < inner of a[k, r] · b[k, j]
    """
    f = _new(module, "tiles", ("add", "out", "out_row", "a", "a_row", "a_step", "b", "b_row", *SIZES), private=True)
    _Product(f, size, *f.arguments)()
    f.finish()
    for name in NAMES:
        f = _new(module, name, ("out", "out_row", "a", "a_row", "b", "b_row", *SIZES))
        out, out_row, a, a_row, b, b_row, columns, rows, inner = f.arguments
        step, add = f.index(size), f.constant("i1", name != "product")
        if name == "weight_product":
            with f.loop(0, inner, DEPTH) as first:
                here, there, part = f.at(a, first * a_row), f.at(b, first * b_row), at_most(inner - first, DEPTH)
                f.call("tiles", "void", add, out, out_row, here, step, a_row, there, b_row, columns, rows, part)
        else:
            with f.loop(0, rows, ROWS) as first:
                here, there, part = f.at(out, first * out_row), f.at(a, first * a_row), at_most(rows - first, ROWS)
                f.call("tiles", "void", add, here, out_row, there, a_row, step, b, b_row, columns, part, inner)
        f.finish()


SIZES = ("columns", "rows", "inner")


def _new(module: Module, name: str, arguments: tuple[str, ...], private: bool = False) -> Function:
    kinds = {"add": "i1", "out": "ptr", "a": "ptr", "b": "ptr"}
    return module.function(name, {each: kinds.get(each, "i64") for each in arguments}, private=private)


@dataclass
class _Product:
    """The loops of out[r, j] (+)= sum over k of a[r, k] · b[k, j]; `a_row` and `a_step` are distances in r and k."""

    function: Function
    size: int
    add: Value
    out: Value
    out_row: Value
    a: Value
    a_row: Value
    a_step: Value
    b: Value
    b_row: Value
    columns: Value
    rows: Value
    inner: Value

    def __call__(self) -> None:
        """Strips of columns of nearly equal width."""
        f, target = self.function, self.function.module.target
        self.lanes = target.lanes(self.size)
        self.element = "float" if self.size == 4 else "double"
        self.vector = f"<{self.lanes} x {self.element}>"
        vectors, widest = _rounded_up(self.columns, self.lanes), target.tile_vectors
        strips = _rounded_up(vectors, widest)
        with f.loop(0, strips) as strip:
            begin, end = strip * vectors / strips, (strip + 1) * vectors / strips
            self.column = begin * self.lanes
            for width in range(1, widest + 1):
                with f.if_true((end - begin).equals(width)):
                    self.strip(width)

    def strip(self, vectors: int) -> None:
        """All rows of a few vectors of columns: high tiles, then lower tiles for the remaining rows."""
        f, done = self.function, self.function.index(0)
        tile_rows = f.module.target.tile_rows
        for height in (tile_rows, 2, 1):
            end = self.rows - (self.rows - done) % height
            with f.loop(done, end, height) as row:
                self.tile(row, height, vectors)
            done = end

    def tile(self, first: Value, rows: int, vectors: int) -> None:
        f, offset = self.function, self.column * self.size
        left = self.columns - self.column
        out, a, b = (
            f.at(self.out, first * self.out_row + offset),
            f.at(self.a, first * self.a_row),
            f.at(self.b, offset),
        )
        lines = [f.at(out, self.out_row * r) for r in range(rows)]
        factors = [f.at(a, self.a_row * r) for r in range(rows)]
        sums = {(r, v): f.stack(self.vector) for r in range(rows) for v in range(vectors)}
        for place in sums.values():
            f.store(f.constant(self.vector, 0), place)
        with f.if_true(self.add):
            for (r, v), place in sums.items():
                f.store(self.part(lines[r], v, vectors, left), place)
        with f.loop(0, self.inner) as k:
            row, step = f.at(b, k * self.b_row), k * self.a_step
            columns = [self.part(row, v, vectors, left) for v in range(vectors)]
            for r in range(rows):
                factor = f.broadcast(f.load(self.element, f.at(factors[r], step)), self.vector)
                for v in range(vectors):
                    f.store(fma(factor, columns[v], f.load(self.vector, sums[r, v])), sums[r, v])
        for (r, v), place in sums.items():
            target, value = f.at(lines[r], v * self.lanes * self.size), f.load(self.vector, place)
            if v + 1 < vectors:
                f.store(value, target)
            else:
                f.store_part(value, target, left - v * self.lanes)

    def part(self, row: Value, v: int, vectors: int, left: Value) -> Value:
        """Vector v of a row; the last vector may be partial."""
        place = self.function.at(row, v * self.lanes * self.size)
        if v + 1 < vectors:
            return self.function.load(self.vector, place)
        return self.function.load_part(self.vector, place, left - v * self.lanes)


def _rounded_up(a: Value, b: Value | int) -> Value:
    """⌈a / b⌉"""
    return (a + b - 1) / b
