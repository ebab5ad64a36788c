"""The intermediate form: a flat graph of elementwise operations, which a backend prints as the body of a loop.

What a printer receives is a `Graph`. It walks `graph.nodes` from first to last, once, and prints one assignment for
each: a node's inputs are the numbers of earlier nodes, so the value of node 7 may be called `v7`. There are no shapes
(all values are one element), no control flow, and after `select` no dead nodes.

`Node.op` is one of `operations.OPERATIONS`, with the semantics of eager torch, NaN and infinities included, or

    input                       a value handed in; `name` says which (see below)
    constant                    `value`, a Python number

`Node.kind` is the type of the value: "float" is the dtype of the program, in which all inputs and outputs are; others
are torch's names, "bool", "int32", "float64". Inputs of one node are of one kind, but for the condition of `where`.

Inputs and outputs of the graph of one stage are named by role and number: `x0`, `x1` (tensors of x), `recurrent0`
(blocks of the matrix product), `state0`, `params0`; forward outputs are `y0` and `new_state0`. For the backward pass
there are further inputs `grad_y0` and `grad_new_state0`, and outputs `grad_x0`, `grad_recurrent0`, `grad_state0`,
`grad_params0` (the contribution of one element; a printer sums it over time, the wrapper over the batch).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from bionets.scan.operations import COMPARISONS


class UnsupportedStepError(NotImplementedError):
    """The step does something that cannot be compiled; the message names the operation and its line."""


DTYPES = {
    "bool": torch.bool,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "float32": torch.float32,
    "float64": torch.float64,
}


@dataclass(frozen=True)
class Node:
    """One value. `source` is the line of the step it came from, for error messages; it is no part of its identity."""

    op: str
    inputs: tuple[int, ...] = ()
    value: float = 0.0  # of a constant
    name: str = ""  # of an input
    kind: str = "float"
    source: str = field(default="", compare=False)

    @property
    def is_bool(self) -> bool:
        return self.kind == "bool"


@dataclass(frozen=True)
class Graph:
    """Nodes in order of evaluation, and for each named output the number of its node."""

    nodes: tuple[Node, ...]
    outputs: Mapping[str, int]

    @property
    def inputs(self) -> dict[str, int]:
        """The number of the node of each input that is used."""
        return {node.name: number for number, node in enumerate(self.nodes) if node.op == "input"}

    def is_zero(self, output: str) -> bool:
        """Whether an output is the constant 0."""
        node = self.nodes[self.outputs[output]]
        return node.op == "constant" and node.value == 0

    def input_behind(self, output: str) -> str:
        """The name of the input that an output is, as it came in; "" where something is computed."""
        return self.nodes[self.outputs[output]].name

    def select(self, outputs: Iterable[str]) -> "Graph":
        """The graph of these outputs alone, without the nodes that none of them needs."""
        wanted = {name: self.outputs[name] for name in outputs}
        alive: set[int] = set()
        stack = list(wanted.values())
        while stack:
            number = stack.pop()
            if number not in alive:
                alive.add(number)
                stack.extend(self.nodes[number].inputs)
        new_number = {old: new for new, old in enumerate(sorted(alive))}
        nodes = tuple(
            replace(node, inputs=tuple(new_number[i] for i in node.inputs))
            for node in (self.nodes[old] for old in new_number)
        )
        return Graph(nodes, {name: new_number[number] for name, number in wanted.items()})

    def __str__(self) -> str:
        return self.text()

    def text(self, constants: bool = True) -> str:
        """One line for each node; equal for equal graphs, so that it serves as a key. Without `constants`, also equal
        for graphs that differ in the values of their constants."""
        outputs = " ".join(f"{name}={number}" for name, number in self.outputs.items())
        return "\n".join([*self._lines(constants), outputs])

    def listing(self) -> str:
        """The same with the line of the step that each node comes from, to be read by people."""
        lines = [f"{line:32s} # {node.source}" for line, node in zip(self._lines(), self.nodes, strict=True)]
        return "\n".join([*lines, *(f"{name} = {number}" for name, number in self.outputs.items())]) + "\n"

    def _lines(self, constants: bool = True) -> list[str]:
        lines = []
        for number, node in enumerate(self.nodes):
            detail = node.name or " ".join(map(str, node.inputs))
            if node.op == "constant":
                detail = _text(node.value) if constants or node.kind != "float" else ""
            kind = "" if node.kind == "float" else f" {node.kind}"
            lines.append(f"{number} {node.op}{kind} {detail}")
        return lines


class GraphBuilder:
    """Adds nodes to a graph; equal values become one node, and operations that change nothing disappear.

    dtype: of the program, in which floats are computed. `result` and `common` describe the torch operation that is
    being traced: the kind of its result, and the one to which torch promotes its arguments.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.nodes: list[Node] = []
        self.source = ""
        self.result = self.common = "float"
        self._known: dict[object, int] = {}

    def kind_of(self, dtype: torch.dtype) -> str:
        """The kind of values of a dtype. Raises TypeError for one that cannot be compiled."""
        if dtype == self.dtype:
            return "float"
        for kind, known in DTYPES.items():
            if known == dtype:
                return kind
        raise TypeError(f"{dtype} is not supported")

    def describe(self, arguments: Sequence[Any], result: torch.Tensor) -> None:
        """Set `result` and `common` from the arguments and the result of a torch operation."""
        operands: list[Any] = [each for each in arguments[:2] if isinstance(each, (torch.Tensor, bool, int, float))]
        tensors = [each for each in operands if isinstance(each, torch.Tensor)]
        common = torch.result_type(*operands) if len(operands) == 2 and tensors else (*tensors, result)[0].dtype
        self.common, self.result = self.kind_of(common), self.kind_of(result.dtype)

    def input(self, name: str) -> "Value":
        return self._add(Node("input", name=name))

    def constant(self, value: float, kind: str = "float") -> "Value":
        if kind == "float" or kind.startswith("float"):
            return self._add(Node("constant", value=float(value), kind=kind))
        if kind == "bool":
            return self._add(Node("constant", value=bool(value), kind=kind))
        bits, signed = int(kind.lstrip("uint")), not kind.startswith("u")
        number = int(value) % (1 << bits)
        if signed and number >= 1 << (bits - 1):
            number -= 1 << bits
        return self._add(Node("constant", value=number, kind=kind))

    def __call__(self, op: str, *inputs: int | float | bool) -> "Value":
        """Add an operation; plain numbers become constants of the kind of the last value."""
        kinds = [self.nodes[i].kind for i in inputs if isinstance(i, Value)]
        kind = kinds[-1] if kinds else "float"
        numbers = tuple(i if isinstance(i, Value) else self.constant(i, kind) for i in inputs)
        return Value(self._simplify(op, numbers, "bool" if op in COMPARISONS else kind))

    def copy(self, node: Node, inputs: Sequence[int]) -> "Value":
        """Add the operation of a node of another graph, with these inputs."""
        return self._add(replace(node, inputs=tuple(map(int, inputs))))

    def kind(self, value: Any) -> str:
        return self.nodes[value].kind

    def cast(self, value: Any, kind: str) -> "Value":
        """A value, or a number, as one of another kind."""
        if not isinstance(value, Value):
            return self.constant(value, kind)
        node = self.nodes[value]
        if node.kind == kind:
            return value
        if node.op == "constant" and math.isfinite(node.value) and (abs(node.value) < 2**31 or kind == "bool"):
            return self.constant(node.value, kind)
        if kind == "bool":
            return self("ne", value, 0)
        return self._add(Node("cast", (int(value),), kind=kind))

    def is_bool(self, number: int) -> bool:
        return self.nodes[number].is_bool

    def finish(self, outputs: Mapping[str, int]) -> Graph:
        return Graph(tuple(self.nodes), {name: int(number) for name, number in outputs.items()})

    def _add(self, node: Node) -> "Value":
        key = (node.op, node.inputs, _text(node.value), node.name, node.kind)
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(replace(node, source=self.source))
        return Value(self._known[key])

    def _is(self, number: int, value: float) -> bool:
        node = self.nodes[number]
        return node.op == "constant" and node.value == value

    def _simplify(self, op: str, inputs: tuple[int, ...], kind: str) -> int:
        match op, inputs:
            case "add", (a, b) if self._is(b, 0):
                return a
            case "add", (a, b) if self._is(a, 0):
                return b
            case "sub", (a, b) if self._is(b, 0):
                return a
            case "mul", (a, b) if self._is(b, 1):
                return a
            case "mul", (a, b) if self._is(a, 1):
                return b
            case "div", (a, b) if self._is(b, 1):
                return a
            case "neg", (a,) if self.nodes[a].op == "constant":
                return self.constant(-self.nodes[a].value, kind)
            case (("add" | "mul"), (a, b)) if a > b:  # commutative: one order, so that equal values are found
                inputs = (b, a)
        return self._add(Node(op, inputs, kind=kind))


class Value(int):
    """The number of a node, told apart from a plain number, which stands for a constant."""


def _text(value: float) -> str:
    """Tells 0.0 from -0.0."""
    return value.hex() if isinstance(value, float) else str(value)
