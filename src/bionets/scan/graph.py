"""The intermediate form: a flat graph of elementwise operations, which a backend prints as the body of a loop.

What a printer receives is a `Graph`. It walks `graph.nodes` from first to last, once, and prints one assignment for
each: a node's inputs are the numbers of earlier nodes, so the value of node 7 may be called `v7`. There is nothing else
to know: no shapes (all values are one element), no dtypes but two (`is_bool`), no control flow, and after `select` no
dead nodes.

Operations (`Node.op`), with the semantics of eager torch, NaN and infinities included:

    input                       a value handed in; `name` says which (see below)
    constant                    `value`, a Python float
    neg abs sign sqrt exp expm1 log log1p sin cos tanh sigmoid atan erf round floor ceil trunc
                                one float in, one float out; round is half-to-even
    add sub mul div pow         two floats in, one float out
    maximum minimum             two floats in, one out; NaN if either is NaN
    lt le gt ge eq ne           two floats in, one bool out
    and or xor not              bools in, bool out
    where                       (bool, float, float) in, one float out; the branch not chosen has no effect
    float                       bool in, 0.0 or 1.0 out

Inputs and outputs of the graph of one stage are named by role and number: `x0`, `x1` (tensors of x), `recurrent0`
(blocks of the matrix product), `state0`, `params0`; forward outputs are `y0` and `new_state0`. For the backward pass
there are further inputs `grad_y0` and `grad_new_state0`, and outputs `grad_x0`, `grad_recurrent0`, `grad_state0`,
`grad_params0` (the contribution of one element; a printer sums it over time, the wrapper over the batch).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
LOGICAL = ("and", "or", "xor", "not")


@dataclass(frozen=True)
class Node:
    """One value. `source` is the line of the step it came from, for error messages; it is no part of its identity."""

    op: str
    inputs: tuple[int, ...] = ()
    value: float = 0.0  # of a constant
    name: str = ""  # of an input
    source: str = field(default="", compare=False)

    @property
    def is_bool(self) -> bool:
        return self.op in COMPARISONS or self.op in LOGICAL


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
            Node(node.op, tuple(new_number[i] for i in node.inputs), node.value, node.name, node.source)
            for node in (self.nodes[old] for old in new_number)
        )
        return Graph(nodes, {name: new_number[number] for name, number in wanted.items()})

    def __str__(self) -> str:
        return self.text()

    def text(self, constants: bool = True) -> str:
        """One line for each node; equal for equal graphs, so that it serves as a key. Without `constants`, also equal
        for graphs that differ in the values of their constants."""
        lines = []
        for number, node in enumerate(self.nodes):
            detail = node.name or " ".join(map(str, node.inputs))
            if node.op == "constant":
                detail = node.value.hex() if constants else ""
            lines.append(f"{number} {node.op} {detail}")
        return "\n".join([*lines, " ".join(f"{name}={number}" for name, number in self.outputs.items())])


class GraphBuilder:
    """Adds nodes to a graph; equal values become one node, and operations that change nothing disappear.

    epsilon: of the dtype in which everything is computed.
    """

    def __init__(self, epsilon: float) -> None:
        self.epsilon = epsilon
        self.nodes: list[Node] = []
        self.source = ""
        self._known: dict[object, int] = {}

    def input(self, name: str) -> "Value":
        return self._add(Node("input", name=name))

    def constant(self, value: float) -> "Value":
        return self._add(Node("constant", value=float(value)))

    def __call__(self, op: str, *inputs: int | float | bool) -> "Value":
        """Add an operation; plain numbers become constants."""
        numbers = tuple(i if isinstance(i, Value) else self.constant(i) for i in inputs)
        return Value(self._simplify(op, numbers))

    def is_bool(self, number: int) -> bool:
        return self.nodes[number].is_bool

    def finish(self, outputs: Mapping[str, int]) -> Graph:
        return Graph(tuple(self.nodes), {name: int(number) for name, number in outputs.items()})

    def _add(self, node: Node) -> "Value":
        key = (node.op, node.inputs, node.value.hex(), node.name)  # hex tells 0.0 from -0.0
        if key not in self._known:
            self._known[key] = len(self.nodes)
            self.nodes.append(Node(node.op, node.inputs, node.value, node.name, self.source))
        return Value(self._known[key])

    def _is(self, number: int, value: float) -> bool:
        node = self.nodes[number]
        return node.op == "constant" and node.value == value

    def _simplify(self, op: str, inputs: tuple[int, ...]) -> int:
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
                return self.constant(-self.nodes[a].value)
            case (("add" | "mul"), (a, b)) if a > b:  # commutative: one order, so that equal values are found
                inputs = (b, a)
        return self._add(Node(op, inputs))


class Value(int):
    """The number of a node, told apart from a plain number, which stands for a constant."""
