"""Linear recurrences: finds the matrix and the offset of a step whose new state is linear in its state.

    new_state_i = Σ_j matrix_ij state_j + offset_i

with entries that do not depend on the state. Such a step can be computed at many time steps in parallel. The gradient
of the state is linear in the gradient of the new state for every step; its entries may depend on the state, which is
known in the backward pass.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bionets.scan.builder import GraphBuilder, Value
from bionets.scan.graph import Graph
from bionets.scan.program import program_of

OFFSET = ""  # the variable of the constant term
Terms = dict[str, Value]  # the factor of each variable


@dataclass(frozen=True)
class LinearMap:
    """`outputs = matrix @ variables + offset`.

    graph: a graph with the outputs `matrix{i}_{j}` and `offset{i}`. filled: the sorted pairs (i, j) at which a product
    of any number of such matrices may be nonzero.
    """

    graph: Graph
    size: int
    filled: tuple[tuple[int, int], ...]

    def row(self, i: int, product: str, offset: str) -> str:
        """Row i of matrix @ variables + offset as text; `product` is a term, to be formatted with i, j and j."""
        return " + ".join([*(product.format(i, j, j) for row, j in self.filled if row == i), offset])


@functools.lru_cache(maxsize=1024)
def linear_steps(program_key: str) -> tuple[LinearMap, LinearMap] | None:
    """The linear maps from the state to the new state of a program, and from the gradient of the new state to the
    gradient of the state.

    None if the step is not linear, or has a recurrent weight or no derivative, as the program of `sensitivity`.
    """
    program = program_of(program_key)
    (stage, *others), states = program.stages, range(program.state)
    if others or stage.blocks or "grad_state0" not in stage.graph.outputs:
        return None
    forward = linear_map(stage.graph, [f"new_state{i}" for i in states], [f"state{i}" for i in states], program.dtype)
    if forward is None:
        return None
    gradients = [f"grad_new_state{i}" for i in states]
    backward = linear_map(stage.graph, [f"grad_state{i}" for i in states], gradients, program.dtype)
    return None if backward is None else (forward, backward)


def linear_map(graph: Graph, outputs: Sequence[str], variables: Sequence[str], dtype: torch.dtype) -> LinearMap | None:
    """These outputs of a graph as linear functions of these inputs; None if they are not linear."""
    graph, builder = graph.select(outputs), GraphBuilder(dtype)
    terms: list[Terms] = []
    for node in graph.nodes:
        builder.source = node.source
        operands = [terms[i] for i in node.inputs]
        found: Terms | None
        if node.op == "input":
            found = {node.name: builder.constant(1.0)} if node.name in variables else {OFFSET: builder.input(node.name)}
        elif all(each.keys() <= {OFFSET} for each in operands):
            found = {OFFSET: builder.copy(node, [_factor(builder, each, OFFSET) for each in operands])}
        else:
            found = _combine(builder, node.op, operands) if node.kind == "float" else None
        if found is None:
            return None
        terms.append(found)
    size, named = len(outputs), dict[str, Value]()
    filled = set[tuple[int, int]]()
    for i, output in enumerate(outputs):
        own = terms[graph.outputs[output]]
        named[f"offset{i}"] = _factor(builder, own, OFFSET)
        for j, variable in enumerate(variables):
            named[f"matrix{i}_{j}"] = _factor(builder, own, variable)
            if variable in own or i == j:
                filled.add((i, j))
    for k in range(size):  # entries that are nonzero in products of the matrix
        filled |= {(i, j) for i in range(size) for j in range(size) if {(i, k), (k, j)} <= filled}
    return LinearMap(builder.finish(named), size, tuple(sorted(filled)))


def _combine(builder: GraphBuilder, op: str, operands: list[Terms]) -> Terms | None:
    """An operation with an operand that depends on a variable; None if the result is not linear in the variable."""
    names = list(dict.fromkeys(name for each in operands for name in each))
    fixed = [each.keys() <= {OFFSET} for each in operands]
    match op, operands:
        case (("add" | "sub"), (a, b)):
            return {name: _sum(builder, op, a.get(name), b.get(name)) for name in names}
        case "neg", (a,):
            return {name: -value for name, value in a.items()}
        case "mul", (a, b) if fixed[0] or fixed[1]:
            factors, by = (b, a) if fixed[0] else (a, b)
            factor = _factor(builder, by, OFFSET)
            return {name: value * factor for name, value in factors.items()}
        case "div", (a, b) if fixed[1]:
            return {name: value / _factor(builder, b, OFFSET) for name, value in a.items()}
        case "where", (condition, a, b) if fixed[0]:
            chosen = _factor(builder, condition, OFFSET)
            return {n: builder("where", chosen, _factor(builder, a, n), _factor(builder, b, n)) for n in names}
        case _:
            return None


def _factor(builder: GraphBuilder, terms: Terms, name: str) -> Value:
    return terms[name] if name in terms else builder.constant(0.0)


def _sum(builder: GraphBuilder, op: str, a: Value | None, b: Value | None) -> Value:
    if b is None:
        assert a is not None
        return a
    if a is None:
        return b if op == "add" else -b
    return builder(op, a, b)
