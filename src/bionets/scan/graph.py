"""The intermediate form: a flat graph of elementwise operations, which a backend prints as the body of a loop.

A printer receives a `Graph`. It goes through `graph.nodes` once, from first to last, and prints one assignment for each
node. The inputs of a node are the numbers of earlier nodes, so the value of node 7 may be called `v7`. There are no
shapes (all values are one element), no control flow, and after `select` no dead nodes.

`Node.op` is one of `operations.OPERATIONS`, with the semantics of eager torch, including NaN and infinities, or

    input                       an input of the graph with the name `name` (see below)
    constant                    `value`, a Python number; 0 with `name` "undefined": a gradient that is None

`Node.kind` is the type of the value. "float" is the dtype of the program, which all inputs and outputs have; the other
kinds have torch's names, "bool", "int32", "float64". All inputs of a node, except the condition of `where`, have the
same kind.

Inputs and outputs of the graph of a stage are named by role and number: `x0`, `x1` (tensors of x), `recurrent0`
(blocks of the matrix product), `state0`, `params0`; forward outputs are `y0` and `new_state0`. The backward pass has
the further inputs `grad_y0` and `grad_new_state0`, and the outputs `grad_x0`, `grad_recurrent0`, `grad_state0`,
`grad_params0` (the contribution of one element; a printer sums it over time, the wrapper over the batch).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch


class UnsupportedStepError(NotImplementedError):
    """The step does something that cannot be compiled; the message names the operation and its line."""


class NonlinearBackwardError(UnsupportedStepError):
    """A backward pass in the step is not linear in the gradient."""


DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name) for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64")
}


@dataclass(frozen=True)
class Node:
    """One value. `source` is its line in the step, for error messages; it is not part of the node's identity."""

    op: str
    inputs: tuple[int, ...] = ()
    value: float = 0.0  # of a constant
    name: str = ""  # of an input; "undefined"
    kind: str = "float"
    source: str = field(default="", compare=False)

    @property
    def is_undefined(self) -> bool:
        """Whether this is a gradient that is None in autograd."""
        return self.op == "constant" and self.name == "undefined"

    @property
    def is_zero(self) -> bool:
        """Whether this is the constant 0."""
        return self.op == "constant" and self.value == 0


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of evaluation, and the number of the node of each named output."""

    nodes: tuple[Node, ...]
    outputs: Mapping[str, int]

    @property
    def inputs(self) -> dict[str, int]:
        """The number of the node of each used input."""
        return {node.name: number for number, node in enumerate(self.nodes) if node.op == "input"}

    def is_zero(self, output: str) -> bool:
        """Whether an output is the constant 0."""
        return self.nodes[self.outputs[output]].is_zero

    def is_undefined(self, output: str) -> bool:
        """Whether an output is a gradient that is None in autograd."""
        return self.nodes[self.outputs[output]].is_undefined

    def input_behind(self, output: str) -> str:
        """The name of the input that is returned unchanged as this output; "" if the output is computed."""
        node = self.nodes[self.outputs[output]]
        return node.name if node.op == "input" else ""

    def select(self, outputs: Iterable[str]) -> "Graph":
        """The graph of these outputs only, without the nodes that none of them needs."""
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
        """One line for each node. Equal graphs have equal texts, so the text serves as a key. Without `constants`,
        graphs that differ only in the values of their constants have equal texts too."""
        outputs = " ".join(f"{name}={number}" for name, number in self.outputs.items())
        return "\n".join([*self._lines(constants), outputs])

    def listing(self) -> str:
        """The text with the line of the step from which each node comes, for human readers."""
        lines = [f"{line:32s} # {node.source}" for line, node in zip(self._lines(), self.nodes, strict=True)]
        return "\n".join([*lines, *(f"{name} = {number}" for name, number in self.outputs.items())]) + "\n"

    def _lines(self, constants: bool = True) -> list[str]:
        lines = []
        for number, node in enumerate(self.nodes):
            detail = node.name or " ".join(map(str, node.inputs))
            if node.op == "constant" and not node.name:
                detail = number_text(node.value) if constants or node.kind != "float" else ""
            kind = "" if node.kind == "float" else f" {node.kind}"
            lines.append(f"{number} {node.op}{kind} {detail}")
        return lines


def number_text(value: float) -> str:
    """A number as text that distinguishes 0.0 from -0.0."""
    return value.hex() if isinstance(value, float) else str(value)
