"""Linear recurrences: the matrix and the offset of a step whose new state is linear in its state.

    new_state_i = Σ_j matrix_ij state_j + offset_i

with entries that do not depend on the state. Such a step can be computed at many time steps at once. The gradient of
the state is linear in that of the new state in every step, with entries that may depend on the state, which is then
known.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bionets.scan.builder import GraphBuilder, Value
from bionets.scan.graph import Graph
from bionets.scan.program import program_of

OFFSET = ""  # stands among the variables for 1
Terms = dict[str, Value]  # by variable the factor that it has


@dataclass(frozen=True)
class LinearMap:
    """`outputs = matrix @ variables + offset`.

    graph: with outputs `matrix{i}_{j}` and `offset{i}`. filled: the pairs (i, j), in order, at which a product of any
    number of such matrices may differ from zero.
    """

    graph: Graph
    size: int
    filled: tuple[tuple[int, int], ...]

    def row(self, i: int, product: str, offset: str) -> str:
        """Row i of matrix @ variables + offset as text; `product` is a term, to be formatted with i, j and j."""
        return " + ".join([*(product.format(i, j, j) for row, j in self.filled if row == i), offset])


@functools.lru_cache(maxsize=1024)
def linear_steps(program_key: str) -> tuple[LinearMap, LinearMap] | None:
    """How the state of a program follows from the state before, and its gradient from that of the state after.

    None where the step is not linear, or goes through a weight.
    """
    program = program_of(program_key)
    (stage, *others), states = program.stages, range(program.state)
    if others or stage.blocks:
        return None
    forward = linear_map(stage.graph, [f"new_state{i}" for i in states], [f"state{i}" for i in states], program.dtype)
    if forward is None:
        return None
    gradients = [f"grad_new_state{i}" for i in states]
    backward = linear_map(stage.graph, [f"grad_state{i}" for i in states], gradients, program.dtype)
    return None if backward is None else (forward, backward)


def linear_map(graph: Graph, outputs: Sequence[str], variables: Sequence[str], dtype: torch.dtype) -> LinearMap | None:
    """These outputs of a graph as linear functions of these inputs; None where they are not."""
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
    for k in range(size):  # what products of the matrix fill
        filled |= {(i, j) for i in range(size) for j in range(size) if {(i, k), (k, j)} <= filled}
    return LinearMap(builder.finish(named), size, tuple(sorted(filled)))


def _combine(builder: GraphBuilder, op: str, operands: list[Terms]) -> Terms | None:
    """An operation of which some operand depends on a variable; None where the result is not linear in it."""
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
