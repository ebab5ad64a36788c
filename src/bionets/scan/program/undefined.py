"""Undefined gradients: gradients that are None in autograd, because no path leads from the loss to a tensor.

An undefined gradient takes part in no operation. Zeros in its place would differ in two ways: if a derivative is
infinite, zero times infinity is NaN; and an optimizer skips a parameter whose gradient is None, but applies weight
decay to a parameter whose gradient is zero.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bionets.scan.builder import GraphBuilder, Value
from bionets.scan.graph import Graph
from bionets.scan.program.program import Program, program_of, with_graphs
from bionets.scan.trace.stage import Stage

Flags = tuple[bool, ...]


@dataclass(frozen=True)
class Reached:
    """Whether each tensor has a gradient after a number of backward steps. after_steps: whether each state has a
    gradient after any of these steps."""

    x: Flags
    state: Flags
    params: Flags
    weights: Flags
    after_steps: Flags


@functools.lru_cache(maxsize=1024)
def find_reached(key: str, y: Flags, final: Flags, masked: bool, steps: int | None, connected: bool = False) -> Reached:
    """The tensors that are reached by gradients of these results of the program with this key.

    Args:
        y, final: whether there is a gradient of each y and of each final state.
        masked: whether lengths are given; then the states of a sequence are passed on unchanged after its end.
        steps: T; None if it is not known: the result is then the union over all T.
        connected: whether to find the tensors that the autograd graph reaches instead. They include those behind a
            function whose backward pass returns None.
    """
    walk, begin = _walk(key, y, final, masked, connected)
    if steps is None:
        states = functools.reduce(_either, (one.state for one in walk))
        return replace(walk[-1], state=states)
    if steps < len(walk):
        return walk[steps]
    return replace(walk[-1], state=walk[begin + (steps - begin) % (len(walk) - 1 - begin)].state)


@functools.lru_cache(maxsize=1024)
def _walk(key: str, y: Flags, final: Flags, masked: bool, connected: bool) -> tuple[list[Reached], int]:
    """The tensors reached after 0, 1, 2, ... steps, until the reached states equal those after an earlier number of
    steps; and this number. From there on, the states repeat."""
    program = program_of(key)
    nothing = (False,) * program.state
    one = Reached((False,) * program.x, final, (False,) * program.params, (False,) * program.weights, nothing)
    walk, known = [one], {final: 0}
    while True:
        before, x, params, weights = _gradients_of_step(program, y, one.state, connected)
        one = Reached(
            _either(one.x, x),
            _either(one.state, before) if masked else before,
            _either(one.params, params),
            _either(one.weights, weights),
            _either(one.after_steps, one.state),
        )
        walk.append(one)
        if one.state in known:
            return walk, known[one.state]
        known[one.state] = len(walk) - 1


@functools.lru_cache(maxsize=1024)
def differentiable_results(
    key: str, steps: int, masked: bool, x: Flags, state: Flags, params: Flags, weights: Flags
) -> Flags:
    """Whether each y and each final state depends on a tensor that requires a gradient, as these flags say."""
    program = program_of(key)
    found = []
    for number in range(program.y + program.state):
        one = tuple(i == number for i in range(program.y + program.state))
        reached = find_reached(key, one[: program.y], one[program.y :], masked, steps, connected=True)
        pairs = ((x, reached.x), (state, reached.state), (params, reached.params), (weights, reached.weights))
        found.append(any(needed and there for flags in pairs for needed, there in zip(*flags, strict=True)))
    return tuple(found)


def _gradients_of_step(program: Program, y: Flags, after: Flags, connected: bool) -> tuple[Flags, Flags, Flags, Flags]:
    """Whether each state before a time step, and each x, parameter and weight in this step, has a gradient.

    after: whether each state after the step has a gradient. connected: see `find_reached`.
    """
    x, params = (False,) * program.x, (False,) * program.params
    weights: list[bool] = []
    for stage in reversed(program.stages):
        given = [f"y{i}" for i, one in enumerate(y) if one and stage is program.stages[-1]]
        given += [f"new_state{i}" for i, one in enumerate(after) if one]

        def reached(role: str, count: int, stage: Stage = stage, given: list[str] = given) -> Flags:
            leads_to = stage.connected if connected else stage.sources
            return tuple(any(f"{role}{i}" in leads_to.get(name, ()) for name in given) for i in range(count))

        after = reached("state", stage.state_in)
        if stage.blocks:
            weights.insert(0, any(reached("recurrent", stage.blocks)))
            after = (after[0] or weights[0], *after[1:])
        x, params = _either(x, reached("x", program.x)), _either(params, reached("params", program.params))
    return after, x, params, tuple(weights)


@functools.lru_cache(maxsize=1024)
def without_undefined(key: str, y: Flags, after: Flags) -> Program:
    """The program with this key, without the operations on gradients that are undefined at every step.

    y, after: whether each y has a gradient, and whether each state has a gradient after any step.
    """
    program = program_of(key)
    graphs: list[Graph] = []
    for stage in reversed(program.stages):
        missing = [f"grad_y{i}" for i, given in enumerate(y) if not given]
        missing += [f"grad_new_state{i}" for i, given in enumerate(after) if not given]
        builder = GraphBuilder(program.dtype)
        outputs = substitute(builder, stage.graph, dict.fromkeys(missing, builder.undefined()))
        graph = builder.finish(outputs)
        after = tuple(not graph.is_undefined(f"grad_state{i}") for i in range(stage.state_in))
        if stage.blocks:
            through_weight = any(not graph.is_undefined(f"grad_recurrent{i}") for i in range(stage.blocks))
            after = (after[0] or through_weight, *after[1:])
        graphs.insert(0, graph.select(outputs))
    if graphs == [stage.graph.select(stage.graph.outputs) for stage in program.stages]:
        return program
    return with_graphs(program, graphs)


def _either(one: Flags, other: Flags) -> Flags:
    return tuple(a or b for a, b in zip(one, other, strict=True))


def substitute(builder: GraphBuilder, graph: Graph, gradients: Mapping[str, Value]) -> dict[str, Value]:
    """Add a graph to the builder with these values in place of some of the input gradients, and return its outputs.

    If all gradients on which an operation depends are undefined, its result is undefined. If some terms of a sum are
    undefined, the sum consists of the other terms.
    """
    made: list[Value] = []
    gradient: set[int] = set()  # numbers of nodes that depend on an input gradient

    for number, node in enumerate(graph.nodes):
        builder.source = node.source
        inputs = [made[i] for i in node.inputs]
        depends = [value for i, value in zip(node.inputs, inputs, strict=True) if i in gradient]
        if depends or node.name.startswith("grad_"):
            gradient.add(number)
        if node.name in gradients:
            value = gradients[node.name]
        elif node.op in ("input", "constant"):
            value = builder.copy(node, [])
        elif depends and all(map(builder.is_undefined, depends)):
            value = builder.undefined(node.kind)
        elif node.op == "add" and any(map(builder.is_undefined, inputs)):
            (value,) = (each for each in inputs if not builder.is_undefined(each))
        elif node.op == "sub" and builder.is_undefined(inputs[1]):
            value = inputs[0]
        elif node.op == "sub" and builder.is_undefined(inputs[0]):
            value = -inputs[1]
        elif node.op == "cast":
            value = builder.cast(inputs[0], node.kind)
        else:
            value = builder(node.op, *inputs)
        made.append(value)
    return {name: made[number] for name, number in graph.outputs.items()}
