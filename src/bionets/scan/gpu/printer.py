"""The common part of all printed Triton kernels: arguments, the tile of elements of an instance, and graphs.

A kernel's tensors are `[B, N]` at one time step, and move from step to step. Each tensor is *flat* (contiguous, so that
an element is addressed by its number in the tile) or *strided* (addressed by row and column). The variant names the
strided tensors, and the caller passes an integer for each further argument that the source lists.
"""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bionets.scan.call import CallVariant
from bionets.scan.graph import Graph, UnsupportedStepError
from bionets.scan.operations import OPERATIONS
from bionets.scan.program import Program

# integers whose divisibility does not help a kernel
COUNTERS = ("steps", "time", "direction", "every", "chunks", "segments", "segment_steps")
SIZES_OF_ROWS = ("width", "total")  # not specialised for rows: a thread would get four neighbours


@dataclass(frozen=True)
class Variant(CallVariant):
    """The compile-time constants of a kernel. Everything else may change from call to call.

    strided: the names of the tensors that are not flat. absent: the names of missing tensors, which count as zero.
    """

    products: bool = False  # the backward kernel receives the first stage's product at all time steps
    strided: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    shared: int | None = None  # the x whose gradient is also that of recurrent, see `shared_gradient`


@dataclass(frozen=True)
class Source:
    """A printed kernel and the names of its arguments, without the constants that are compiled in.

    plain: the integer arguments that are not specialised at compile time. rows: whether an instance computes a row, see
    `Kernel`. held: the number of values that the kernel holds for each element over all time steps.
    """

    text: str
    arguments: tuple[str, ...]
    plain: tuple[str, ...] = ()
    rows: bool = False
    held: int = 0


class KernelPrinter:
    """Collects the lines and the arguments of a kernel named `kernel`."""

    def __init__(self, program: Program, variant: Variant, rows: bool) -> None:
        self.program, self.variant, self.rows = program, variant, rows
        self.arguments: dict[str, None] = {}  # an ordered set
        self.offsets: dict[str, str] = {}  # offsets of the strided tensors
        self.functions: list[str] = []  # the lines of functions that the kernel calls
        self.lines: list[str] = []
        self.instance = "tl.program_id(0)"
        self.mask = "inside"  # the elements that are loaded and stored
        self.depth = 1
        self.held = 0
        self.dtype = "tl.float64" if "64" in str(program.dtype) else "tl.float32"

    def source(self, words: Mapping[str, str] = MappingProxyType({})) -> Source:
        """words: replacements for words in the lines."""
        constants = ("BLOCK", "OFFSET", "STAGES")
        head = self.tile()  # last, when all arguments are known
        plain = COUNTERS + (SIZES_OF_ROWS if self.rows else ())
        plain = tuple(name for name in plain if name in self.arguments)
        lines = [
            "import triton",
            "import triton.language as tl",
            "from bionets.scan.gpu.math import *",
            "",
            "",
            *self.functions,
            f"@triton.jit(do_not_specialize={list(plain)})",
            f"def kernel({', '.join([*self.arguments, *(f'{name}: tl.constexpr' for name in constants)])}):",
            *(f"    {line}" for line in head),
            *self.lines,
        ]
        shape = "(1, BLOCK)" if self.rows else "(BLOCK,)"
        text = "\n".join(lines) + "\n"
        for word, meaning in {"SHAPE": shape, "DTYPE": self.dtype, **words}.items():
            text = text.replace(word, meaning)
        return Source(text, tuple(self.arguments), plain, self.rows, self.held)

    def tile(self) -> list[str]:
        """The row, column and number of the elements of this instance, and whether they exist."""
        width, total = self.argument("width"), self.argument("total")
        if self.rows:
            lines = [
                "row = tl.program_id(0).to(OFFSET)",
                "column = tl.arange(0, BLOCK)[None, :].to(OFFSET)",
                f"inside = column < {width}",
                f"element = row * {width} + column",
            ]
        else:
            lines = [
                f"element = {self.instance}.to(OFFSET) * BLOCK + tl.arange(0, BLOCK)",
                f"row = element // {width}",
                f"column = element % {width}",
                f"inside = element < {total}",
            ]
        lines += [f"{name} = {expression}" for name, expression in self.offsets.items()]
        if self.variant.masked:
            lines.append(f"length = tl.load({self.argument('lengths')} + row, mask=row * {width} < {total}, other=0)")
        return lines

    # printing

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def assign(self, names: Iterable[str], values: Iterable[str]) -> None:
        """Assign to several variables at once: a value may read the old value of any of them."""
        self.emit(f"{', '.join(names)} = {', '.join(values)}")

    @contextlib.contextmanager
    def indented(self, line: str) -> Iterator[None]:
        self.emit(line)
        self.depth += 1
        yield
        self.depth -= 1

    def argument(self, name: str) -> str:
        self.arguments[name] = None
        return name

    def place(self, name: str) -> str:
        """The addresses of the tile's elements in a tensor."""
        self.argument(name)
        if name not in self.variant.strided:
            return f"{name} + element"
        row, column = self.argument(f"{name}_row"), self.argument(f"{name}_column")
        self.offsets[f"{name}_at"] = f"row * {row} + column * {column}"
        return f"{name} + {name}_at"

    def load(self, target: str, name: str) -> None:
        if name in self.variant.absent:
            self.emit(f"{target} = tl.full(SHAPE, 0.0, DTYPE)")
        else:
            self.emit(f"{target} = tl.load({self.place(name)}, mask={self.mask}, other=0.0).to(DTYPE)")

    def store(self, name: str, value: str) -> None:
        self.emit(f"tl.store({self.place(name)}, ({value}).to({name}.dtype.element_ty), mask={self.mask})")

    def move(self, names: Iterable[str], sign: str = "+") -> None:
        """Move to the next time step in these tensors, or with "-" to the previous one."""
        for name in names:
            if name in self.arguments:
                self.emit(f"{name} {sign}= {self.argument(f'{name}_time')}")

    def load_params(self) -> None:
        for i in range(self.program.params):
            name = self.argument(f"params{i}")
            if name in self.variant.strided:  # one number for all
                self.emit(f"v_{name} = tl.full(SHAPE, tl.load({name}).to(DTYPE), DTYPE)")
            else:
                self.emit(f"v_{name} = tl.load({name} + column + element * 0, mask=inside, other=0.0).to(DTYPE)")

    def active(self, value: str, otherwise: str = "0.0") -> str:
        """The value, or with lengths another value after the end of a sequence."""
        return f"tl.where(active, {value}, {otherwise})" if self.variant.masked else value

    def find_active(self) -> None:
        if self.variant.masked:
            self.emit(f"active = length > {self.argument('time')}")

    def graph(self, graph: Graph, prefix: str, inputs: Mapping[str, str]) -> dict[str, str]:
        """Print the nodes of a graph, given the variables of its inputs. Returns the variables of its outputs."""
        variables: list[str] = []
        for number, node in enumerate(graph.nodes):
            if node.op == "input":
                variables.append(inputs[node.name])
                continue
            if node.op == "constant":
                value = repr(node.value) if math.isfinite(node.value) else f'float("{node.value}")'
                expression = f"tl.full(SHAPE, {value}, {_kind(node.kind)})"
                if value == "-0.0":  # Triton 3.6 fills with 0.0
                    expression = f"negate(tl.full(SHAPE, 0.0, {_kind(node.kind)}))"
            elif node.op in OPERATIONS:
                operands = [variables[i] for i in node.inputs]
                expression = OPERATIONS[node.op].triton.format(*operands, kind=_kind(node.kind))
                if node.op == "not" and node.kind != "bool":
                    expression = f"~{operands[0]}"
            else:
                raise UnsupportedStepError(f"the triton backend cannot print {node.op!r} ({node.source})")
            variables.append(f"{prefix}{number}")
            self.emit(f"{variables[-1]} = {expression}")
        return {name: variables[number] for name, number in graph.outputs.items()}


def _kind(kind: str) -> str:
    return {"float": "DTYPE", "bool": "tl.int1"}.get(kind, f"tl.{kind}")
