"""Builds a graph node by node."""

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from bionets.scan.graph import DTYPES, Graph, Node, number_text
from bionets.scan.operations import COMPARISONS


def _operator(op: str) -> Callable[["Value", Any], "Value"]:
    return lambda value, other: value.builder(op, value, other)


class Value:
    """A node of a graph under construction. Operators add nodes; plain numbers become constants of the same kind.

    `==` compares no values: see `equals` and `differs`.
    """

    __slots__ = ("builder", "number")

    def __init__(self, builder: "GraphBuilder", number: int) -> None:
        self.builder, self.number = builder, number

    def __index__(self) -> int:
        return self.number

    __add__ = _operator("add")
    __sub__ = _operator("sub")
    __mul__ = _operator("mul")
    __truediv__ = _operator("div")
    __and__ = _operator("and")
    __or__ = _operator("or")
    __xor__ = _operator("xor")
    __lt__ = _operator("lt")
    __le__ = _operator("le")
    __gt__ = _operator("gt")
    __ge__ = _operator("ge")
    equals = _operator("eq")
    differs = _operator("ne")

    def __rsub__(self, other: Any) -> "Value":
        return self.builder("sub", other, self)

    def __neg__(self) -> "Value":
        return self.builder("neg", self)

    def __abs__(self) -> "Value":
        return self.builder("abs", self)


class GraphBuilder:
    """Adds nodes to a graph. Equal values become one node, and operations without effect are left out.

    dtype: the dtype of the program, in which floats are computed. `result` and `common` describe the traced torch
    operation: the kind of its result, and the kind to which torch promotes its arguments.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.nodes: list[Node] = []
        self.source = ""
        self.result = self.common = "float"
        self._known: dict[object, int] = {}

    def kind_of(self, dtype: torch.dtype) -> str:
        """The kind of values of a dtype. Raises TypeError if the dtype cannot be compiled."""
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

    def input(self, name: str) -> Value:
        return self._add(Node("input", name=name))

    def constant(self, value: float, kind: str = "float") -> Value:
        if kind.startswith("float"):
            dtype = self.dtype if kind == "float" else DTYPES[kind]  # rounded, because it may be cast later
            value = float(value) if dtype == torch.float64 else ctypes.c_float(value).value
            return self._add(Node("constant", value=value, kind=kind))
        if kind == "bool":
            return self._add(Node("constant", value=bool(value), kind=kind))
        bits, signed = int(kind.lstrip("uint")), not kind.startswith("u")
        number = int(value) % (1 << bits)
        if signed and number >= 1 << (bits - 1):
            number -= 1 << bits
        return self._add(Node("constant", value=number, kind=kind))

    def undefined(self, kind: str = "float") -> Value:
        """A gradient that is None in autograd: 0 as a result, and left out of operations; see `program.undefined`."""
        return self._add(Node("constant", name="undefined", kind=kind))

    def is_undefined(self, value: Value) -> bool:
        return self.nodes[value].is_undefined

    def __call__(self, op: str, *inputs: Value | float) -> Value:
        """Add an operation; plain numbers become constants of the kind of the last value."""
        kinds = [self.nodes[i].kind for i in inputs if isinstance(i, Value)]
        kind = kinds[-1] if kinds else "float"
        numbers = tuple(int(i if isinstance(i, Value) else self.constant(i, kind)) for i in inputs)
        return Value(self, self._simplify(op, numbers, "bool" if op in COMPARISONS else kind))

    def copy(self, node: Node, inputs: Sequence[Value]) -> Value:
        """Add the operation of a node of another graph, with these inputs."""
        return self._add(replace(node, inputs=tuple(map(int, inputs))))

    def kind(self, value: Any) -> str:
        return self.nodes[value].kind

    def cast(self, value: Any, kind: str) -> Value:
        """Convert a value or a number to another kind."""
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

    def finish(self, outputs: Mapping[str, Value]) -> Graph:
        return Graph(tuple(self.nodes), {name: int(number) for name, number in outputs.items()})

    def _add(self, node: Node) -> Value:
        key = (node.op, node.inputs, number_text(node.value), node.name, node.kind)
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(replace(node, source=self.source))
        return Value(self, self._known[key])

    def _is(self, number: int, value: float) -> bool:
        node = self.nodes[number]
        return node.op == "constant" and node.value == value

    def _adds_nothing(self, number: int) -> bool:
        """Whether adding this value changes nothing. For floats, this is -0.0, since -0.0 + 0.0 is 0.0."""
        node = self.nodes[number]
        return self._is(number, 0) and ("float" not in node.kind or math.copysign(1.0, node.value) < 0)

    def _simplify(self, op: str, inputs: tuple[int, ...], kind: str) -> int:
        match op, inputs:
            case "add", (a, b) if self._adds_nothing(b):
                return a
            case "add", (a, b) if self._adds_nothing(a):
                return b
            case "sub", (a, b) if self._is(b, 0) and math.copysign(1.0, self.nodes[b].value) > 0:
                return a
            case "mul", (a, b) if self._is(b, 1):
                return a
            case "mul", (a, b) if self._is(a, 1):
                return b
            case "div", (a, b) if self._is(b, 1):
                return a
            case "neg", (a,) if self.nodes[a].op == "constant":
                return int(self.constant(-self.nodes[a].value, kind))
            case (("add" | "mul"), (a, b)) if a > b:  # commutative: sort the operands, so that equal values are found
                inputs = (b, a)
        return int(self._add(Node(op, inputs, kind=kind)))
