"""Small matrix products: the recurrent product in each time step, and the weight gradient after the last step.

Both use tiles of rows × vectors whose sums stay in registers. Each number is summed by one thread in a fixed order, so
the result depends neither on timing nor on the number of threads. No thread pool of another library is involved.
"""

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
    _tiles(f, size)
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


def _tiles(f: Function, size: int) -> None:
    """The loops of out[r, j] (+)= sum over k of a[r, k] · b[k, j]; `a_row` and `a_step` are distances in r and k."""
    add, out, out_row, a, a_row, a_step, b, b_row, columns, rows, inner = f.arguments
    target = f.module.target
    lanes, element = target.lanes(size), "float" if size == 4 else "double"
    kind = f"<{lanes} x {element}>"

    def part(row: Value, v: int, vectors: int, left: Value) -> Value:
        """Vector v of a row; the last vector may be partial."""
        place = f.at(row, v * lanes * size)
        return f.load(kind, place) if v + 1 < vectors else f.load_part(kind, place, left - v * lanes)

    def tile(column: Value, first: Value, height: int, vectors: int) -> None:
        offset = column * size
        left = columns - column
        corner, a_first, b_first = f.at(out, first * out_row + offset), f.at(a, first * a_row), f.at(b, offset)
        lines = [f.at(corner, out_row * r) for r in range(height)]
        factors = [f.at(a_first, a_row * r) for r in range(height)]
        sums = {(r, v): f.stack(kind) for r in range(height) for v in range(vectors)}
        for place in sums.values():
            f.store(f.constant(kind, 0), place)
        with f.if_true(add):
            for (r, v), place in sums.items():
                f.store(part(lines[r], v, vectors, left), place)
        with f.loop(0, inner) as k:
            row, step = f.at(b_first, k * b_row), k * a_step
            parts = [part(row, v, vectors, left) for v in range(vectors)]
            for r in range(height):
                factor = f.broadcast(f.load(element, f.at(factors[r], step)), kind)
                for v in range(vectors):
                    f.store(fma(factor, parts[v], f.load(kind, sums[r, v])), sums[r, v])
        for (r, v), place in sums.items():
            at, value = f.at(lines[r], v * lanes * size), f.load(kind, place)
            if v + 1 < vectors:
                f.store(value, at)
            else:
                f.store_part(value, at, left - v * lanes)

    all_vectors = _rounded_up(columns, lanes)
    strips = _rounded_up(all_vectors, target.tile_vectors)
    with f.loop(0, strips) as strip:  # of columns, of nearly equal width
        begin, end = strip * all_vectors / strips, (strip + 1) * all_vectors / strips
        column = begin * lanes
        for vectors in range(1, target.tile_vectors + 1):
            with f.if_true((end - begin).equals(vectors)):
                done = f.index(0)
                for height in (target.tile_rows, 2, 1):  # high tiles, then lower tiles for the remaining rows
                    stop = rows - (rows - done) % height
                    with f.loop(done, stop, height) as first:
                        tile(column, first, height, vectors)
                    done = stop


def _rounded_up(a: Value, b: Value | int) -> Value:
    """⌈a / b⌉"""
    return (a + b - 1) / b
