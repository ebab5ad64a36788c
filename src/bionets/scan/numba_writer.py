"""Writes the text of a Numba kernel: lines, loops over blocks, and graphs as functions of one block."""

import contextlib
import math
from collections import Counter
from collections.abc import Collection, Iterator, Set
from dataclasses import dataclass

from bionets.scan.graph import Graph
from bionets.scan.native import LANES, PLACES

HELPERS = ("load_rows", "add_rows", "store_rows", "load_params", "load_lengths", "product")  # called by address
BLOCK_BYTES = 24 * 1024  # what one block's slots may take, so that it stays in the first-level cache
GAP = 16  # elements between slots, so that they do not lie a power of two apart in the cache

_FUNCTIONS = {  # operation: the expression, where {F} is the type, {0} {1} {2} the inputs and {n} 32 or 64
    "neg": "-{0}",
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "pow": "math.pow({0}, {1})",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "and": "both({0}, {1})",
    "or": "either({0}, {1})",
    "xor": "differ({0}, {1})",
    "not": "differ({0}, True)",
    "where": "select({0}, {1}, {2})",
    "float": "select({0}, F(1), F(0))",
    "maximum": "maximum({0}, {1})",
    "minimum": "minimum({0}, {1})",
    "abs": "absolute({0})",
    "sign": "select({0} > F(0), F(1), select({0} < F(0), F(-1), F(0)))",
    "sqrt": "square_root({0})",
    "round": "round_even({0})",
    "floor": "floor({0})",
    "ceil": "ceil({0})",
    "trunc": "trunc({0})",
    "sin": "math.sin({0})",
    "cos": "math.cos({0})",
    "atan": "math.atan({0})",
    "erf": "math.erf({0})",
    **{name: f"{name}({{0}})" for name in ("exp", "expm1", "log", "log1p", "tanh", "sigmoid")},
}


@dataclass(frozen=True)
class Source:
    """A printed kernel: Python text, the fields of its table in order, the size of a block in elements and in bytes."""

    text: str
    fields: tuple[str, ...]
    width: int
    block_bytes: int


class Writer:
    def __init__(self, dtype: str, masked: bool) -> None:
        self.size = 8 if "64" in dtype else 4  # bytes of an element
        self.masked = masked  # lengths are given
        self.lines: list[str] = []  # of the kernel itself
        self.functions: list[str] = []  # of the stages, which it calls
        self.direct: set[str] = set()  # inputs and outputs of a stage that need not go through a slot
        self.slots: dict[str, None] = {}  # ordered sets
        self.same_slot: dict[str, str] = {}  # slots that are another one under a second name
        self.fields: dict[str, None] = dict.fromkeys(("time", "width", "range", "reverse", "every", *HELPERS))
        self.depth = 1
        self.loop_end = (0, 0)  # where the last loop over blocks ended: number of lines, depth

    def source(self) -> Source:
        bits, width = 8 * self.size, 512
        while width > 128 and len(self.slots) * width * self.size > BLOCK_BYTES:
            width //= 2
        block = len(self.slots) * (width + GAP) * self.size
        math_names = ("exp", "expm1", "tanh", "sigmoid", "log", "log1p")
        fields = ["range_" if name == "range" else name for name in self.fields]
        lines = [
            "import math",
            "from numpy import float32, float64",
            "from numba import njit",
            "from bionets.scan.numba_math import *",
            "from bionets.scan.numba_memory import *",
            f"F, load, store = float{bits}, place_load{bits}, place_store{bits}",
            *(f"{name} = {'narrow' if bits == 32 else 'wide'}_{name}" for name in math_names),
            f"SIZE, WIDTH, BLOCK = {self.size}, {width}, {block}",
            *(f"at_{slot} = {number * (width + GAP)}" for number, slot in enumerate(self.slots)),
            "",
            *self.functions,
            "",
            "def kernel(table, low, high, work):",
            "    mode = flush_denormals()",
            *(f"    {name} = word(table, {number})" for number, name in enumerate(fields)),
            *self.lines,
            "    restore_mode(mode)",
            "",
        ]
        return Source("\n".join(lines), tuple(self.fields), width, block)

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    @contextlib.contextmanager
    def indented(self, line: str) -> Iterator[None]:
        self.emit(line)
        self.depth += 1
        before = len(self.lines)
        yield
        if len(self.lines) == before:
            self.emit("pass")
        self.depth -= 1

    @contextlib.contextmanager
    def blocks(self) -> Iterator[None]:
        """A loop over the blocks of the range: `block` is its address, its elements are start to start + count.

        It goes on with a loop that has just ended: what blocks do is independent, and so each stays in the cache.
        """
        begin, goes_on = len(self.lines), self.loop_end == (len(self.lines), self.depth)
        if not goes_on:
            self.emit("for start in range(first, last, WIDTH):")
            self.emit("    block = work + (start - first) // WIDTH * BLOCK")
            self.emit("    count = min(WIDTH, last - start)")
        empty = len(self.lines)
        self.depth += 1
        yield
        self.depth -= 1
        if len(self.lines) == empty:
            del self.lines[begin:]
        if len(self.lines) > empty or goes_on:
            self.loop_end = (len(self.lines), self.depth)

    def slot(self, name: str) -> str:
        """The constant that holds where the slot begins in a block."""
        while name in self.same_slot:
            name = self.same_slot[name]
        self.slots[name] = None
        return f"at_{name}"

    def field(self, name: str) -> str:
        self.fields[name] = None
        return name

    def rows(self, action: str, slot: str, address: str, row: str) -> None:
        """Move the block's elements between a slot and a tensor [B, N]."""
        self.emit(f"invoke({action}_rows, block, {self.slot(slot)}, {address}, {row}, start, count, width)")

    def read_input(self, name: str, slot: str, address: str, row: str) -> None:
        """Let a stage read an input where it lies, or in its slot if its rows do not adjoin."""
        self.direct.add(name)
        self.emit(f"p_{name} = {address}")
        self.emit(f"if p_{name} != 0 and {row} == width and count == WIDTH:")
        self.emit(f"    p_{name} += start * SIZE")
        self.emit("else:")
        self.emit(f"    invoke(load_rows, block, {self.slot(slot)}, p_{name}, {row}, start, count, width)")
        self.emit(f"    p_{name} = block + {self.slot(slot)} * SIZE")

    def begin_output(self, name: str, slot: str, address: str, row: str) -> None:
        """Let a stage write an output to where it belongs, or to its slot, from which `end_output` copies it."""
        self.direct.add(name)
        self.emit(f"p_{name} = {address}")
        self.emit(f"if p_{name} != 0 and {row} == width and count == WIDTH:")
        self.emit(f"    p_{name} += start * SIZE")
        self.emit("else:")
        self.emit(f"    p_{name} = block + {self.slot(slot)} * SIZE")

    def end_output(self, name: str, slot: str, address: str, row: str) -> None:
        with self.indented(f"if {address} != 0 and p_{name} == block + {self.slot(slot)} * SIZE:"):
            self.rows("store", slot, address, row)

    def local_rows(self, action: str, slot: str, address: str, row: str) -> None:
        """The same for memory of this thread, which begins at the range's first row."""
        self.emit(f"invoke({action}_rows, block, {self.slot(slot)}, {address}, {row}, start - first, count, width)")

    def call(
        self,
        name: str,
        k: int,
        graph: Graph,
        places: dict[str, str],
        held: dict[str, str],
        add: Set[str] = frozenset(),
        renamed: dict[str, str] | None = None,
    ) -> None:
        """Print a function that evaluates a graph on one block, and call it.

        places: the slot of each output. held: with lengths, what an output is past the end (a slot, or a constant).
        add: outputs that are added to what is there. renamed: slots of inputs that are not the default ones.
        """
        if not graph.outputs:
            return
        masked = self.masked and bool(held)
        pointers = {name: f"p_{name}" for name in (*graph.inputs, *graph.outputs) if name in self.direct}
        pointers |= {f"copy_{name}": f"p_copy_{name}" for name in graph.outputs if f"copy_{name}" in self.direct}
        where = {name: (pointer, min(place, PLACES)) for place, (name, pointer) in enumerate(pointers.items(), 1)}

        def read(slot: str) -> str:
            return f"load(block, {slot} + i, 0)"

        fused = products_in_sums(graph, add if not masked else ())
        arguments = ", ".join(["block", "count", "time", *pointers.values()])
        lines = ["@njit(error_model='numpy', no_cpython_wrapper=True)", f"def {name}({arguments}):"]
        lines.append("    for i in range(count):")
        if masked:
            lines.append(f"        active = time < {read(self.slot('length'))}")
        for number, node in enumerate(graph.nodes):
            if number in fused.values():
                continue
            if node.op == "input" and node.name in where:
                expression = "load({}, i, {})".format(*where[node.name])
            elif node.op == "input":
                expression = read((renamed or {}).get(node.name) or self.slot(self.slot_of_input(k, node.name)))
            elif node.op == "constant":
                special = {math.inf: "math.inf", -math.inf: "-math.inf"}
                value = "math.nan" if math.isnan(node.value) else special.get(node.value, repr(node.value))
                expression = f"F({value})"
            elif number in fused:
                expression = self.multiply_add(graph, number, fused[number])
            else:
                expression = _FUNCTIONS[node.op].format(*(f"v{j}" for j in node.inputs))
            lines.append(f"        v{number} = {expression}")
        kept = {slot: read(slot) for slot in held.values() if slot != "F(0)"} if masked else {}
        lines += [f"        kept_{slot} = {expression}" for slot, expression in kept.items()]
        for output, number in graph.outputs.items():
            value = f"v{number}"
            if masked:
                value = f"select(active, {value}, {held[output] if held[output] == 'F(0)' else 'kept_' + held[output]})"
            if output in fused:
                a, b = graph.nodes[number].inputs
                value = f"fma(v{a}, v{b}, {read(places[output])})"
            elif output in add:
                value = f"{read(places[output])} + {value}"
            targets = [where[each] for each in (output, f"copy_{output}") if each in where]
            if output not in where:
                lines.append(f"        store(block, {places[output]} + i, {value}, 0)")
            lines += [f"        store({pointer}, i, {value}, {place})" for pointer, place in targets]
        text = "\n".join(lines)
        if text not in self.functions:
            self.functions.append(text)
        whole = f"(count + {LANES - 1}) // {LANES} * {LANES}"
        self.emit(f"{name}({', '.join(['block', whole, 'F(t)', *pointers.values()])})")

    def multiply_add(self, graph: Graph, number: int, product: int) -> str:
        """A sum or difference, one of whose terms is a product."""
        (first, second), (a, b) = graph.nodes[number].inputs, graph.nodes[product].inputs
        if graph.nodes[number].op == "add":
            return f"fma(v{a}, v{b}, v{second if first == product else first})"
        return f"fma(v{a}, v{b}, -v{second})" if first == product else f"fma(-v{a}, v{b}, v{first})"

    def slot_of_input(self, k: int, name: str) -> str:
        return f"state{k}_{name.removeprefix('state')}" if name.startswith("state") else name


def products_in_sums(graph: Graph, added: Collection[str]) -> dict[int | str, int]:
    """Products that nothing but one sum reads, by the number of the sum, or by the name of an output that is `added` to
    what is there: each pair is one instruction.

    Of the gradient alone: forward values are rounded as in eager torch, so that thresholds fall on the same side.
    """
    readers = Counter(i for node in graph.nodes for i in node.inputs) + Counter(graph.outputs.values())
    of_gradient, fused = set[int](), dict[int | str, int]()

    def product(number: int) -> bool:
        return graph.nodes[number].op == "mul" and number in of_gradient and readers[number] == 1

    for number, node in enumerate(graph.nodes):
        if node.name.startswith("grad_") or not of_gradient.isdisjoint(node.inputs):
            of_gradient.add(number)
        if node.op in ("add", "sub"):
            for i in filter(product, node.inputs):
                fused[number] = i
    return fused | {output: graph.outputs[output] for output in added if product(graph.outputs[output])}
