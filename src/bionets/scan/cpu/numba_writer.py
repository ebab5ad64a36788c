"""Writes the text of a Numba kernel: lines, loops over blocks, and graphs as stages of one block."""

import contextlib
from collections.abc import Iterator, Set
from dataclasses import dataclass

from bionets.scan.cpu.native import LANES, PLACES
from bionets.scan.cpu.numba_instructions import Instructions, products_in_sums
from bionets.scan.graph import Graph

HELPERS = ("load_rows", "add_rows", "store_rows", "load_params", "load_lengths", "product")  # called by address
BLOCK_BYTES = 24 * 1024  # what one block's slots may take, so that it stays in the first-level cache
GAP = 16  # elements between slots, so that they do not lie a power of two apart in the cache


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
        self.stages: dict[str, str] = {}  # the stages that it calls: the name of each text
        self.direct: set[str] = set()  # inputs and outputs of a stage that need not go through a slot
        self.slots: dict[str, None] = {}  # ordered sets
        self.same_slot: dict[str, str] = {}  # slots that are another one under a second name
        self.fields: dict[str, None] = dict.fromkeys(("time", "width", "range", "reverse", "every"))
        self.depth = 1
        self.loop_end = (0, 0)  # where the last loop over blocks ended: number of lines, depth

    def source(self) -> Source:
        bits, width = 8 * self.size, 512
        while width > 128 and len(self.slots) * width * self.size > BLOCK_BYTES:
            width //= 2
        block = len(self.slots) * (width + GAP) * self.size
        fields = ["range_" if name == "range" else name for name in self.fields]
        lines = [
            "from math import inf, nan",
            f"from numpy import float{bits} as F",
            "from bionets.scan.cpu.numba_calls import *",
            "from bionets.scan.cpu.numba_memory import flush_denormals, restore_mode, word",
            "from bionets.scan.cpu.numba_stage import stage",
            f"moved, fetch, room, settle = addresses{bits}.values()",
            f"SIZE, WIDTH, BLOCK = {self.size}, {width}, {block}",
            *(f"at_{slot} = {number * (width + GAP)}" for number, slot in enumerate(self.slots)),
            "",
            *(f"{name} = {text}" for text, name in self.stages.items()),
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
        helper = self.field(f"{action}_rows")
        self.emit(f"invoke({helper}, block, {self.slot(slot)}, {address}, {row}, start, count, width)")

    def read_input(self, name: str, slot: str, address: str, row: str) -> None:
        """Let a stage read an input where it lies, or in its slot if its rows do not adjoin."""
        self.direct.add(name)
        arguments = f"block, {self.slot(slot)}, {address}, {row}, start, count, width, WIDTH"
        self.emit(f"p_{name} = fetch({self.field('load_rows')}, {arguments})")

    def begin_output(self, name: str, slot: str, address: str, row: str) -> None:
        """Let a stage write an output to where it belongs, or to its slot, from which `end_output` copies it."""
        self.direct.add(name)
        self.emit(f"to_{name} = {address}")
        self.emit(f"p_{name} = room(block, {self.slot(slot)}, to_{name}, {row}, start, count, width, WIDTH)")

    def end_output(self, name: str, slot: str, row: str) -> None:
        arguments = f"p_{name}, block, {self.slot(slot)}, to_{name}, {row}, start, count, width"
        self.emit(f"settle({self.field('store_rows')}, {arguments})")

    def local_rows(self, action: str, slot: str, address: str, row: str) -> None:
        """The same for memory of this thread, which begins at the range's first row."""
        helper = self.field(f"{action}_rows")
        self.emit(f"invoke({helper}, block, {self.slot(slot)}, {address}, {row}, start - first, count, width)")

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
        """Print a stage that evaluates a graph on one block, and call it.

        places: the slot of each output. held: with lengths, what an output is past the end (a slot, or a constant).
        add: outputs that are added to what is there. renamed: slots of inputs that are not the default ones.
        """
        if not graph.outputs:
            return
        masked = self.masked and bool(held)
        pointers = [name for name in (*graph.inputs, *graph.outputs) if name in self.direct]
        pointers += [f"copy_{name}" for name in graph.outputs if f"copy_{name}" in self.direct]
        tensors = {name: f"{where}, 0, {min(where, PLACES)}" for where, name in enumerate(pointers, 1)}
        fused = products_in_sums(graph, add if not masked else ())
        stage = Instructions(8 * self.size)

        def read(name: str) -> int:
            if name in tensors:
                return stage("load", tensors[name])
            return stage.load((renamed or {}).get(name) or self.slot(self.slot_of_input(k, name)))

        values = stage.evaluate(graph, fused, read)
        if masked:
            active = stage("active", stage.load(self.slot("length")))
            kept = {place: stage("constant", 0.0) if place == "F(0)" else stage.load(place) for place in held.values()}
        results = {}
        for output, number in graph.outputs.items():
            if output in fused:
                a, b = (values[i] for i in graph.nodes[number].inputs)
                results[output] = stage("fma", a, b, stage.load(places[output]))
                continue
            result = stage("where", active, values[number], kept[held[output]]) if masked else values[number]
            results[output] = stage("add", stage.load(places[output]), result) if output in add else result
        for output, result in results.items():
            targets = [tensors[each] for each in (output, f"copy_{output}") if each in tensors]
            for target in targets if output in tensors else [*targets, f"0, {places[output]}, 0"]:
                stage("store", result, target)
        name = self.stages.setdefault(str(stage), name)
        whole = f"(count + {LANES - 1}) // {LANES} * {LANES}"
        self.emit(f"{name}({', '.join(['block', whole, 'F(t)', *(f'p_{pointer}' for pointer in pointers)])})")

    def slot_of_input(self, k: int, name: str) -> str:
        return f"state{k}_{name.removeprefix('state')}" if name.startswith("state") else name
