"""The program of a step that carries the sensitivities of its states to its parameters, for online learning.

A step is elementwise, so the derivative of state i after it with respect to state j before it is one number for each
element, and the same for a parameter. Forward-mode differentiation adds, for each state i and wanted parameter p, the
state

    S_ip ← Σ_j (∂state_i'/∂state_j) S_jp + ∂state_i'/∂p

The local derivatives are the step's own vector-Jacobian product, of which the gradient of state i' is 1 and all others
are 0. They join the graph of the step, so one kernel computes both.
"""

import functools
import hashlib
from collections.abc import Mapping

from bionets.scan.builder import GraphBuilder, Value
from bionets.scan.graph import Graph
from bionets.scan.program import Program, program_of
from bionets.scan.trace.stage import Stage


@functools.lru_cache(maxsize=256)
def sensitivity_program(key: str, wanted: tuple[int, ...]) -> Program:
    """The program of one stage, of this key, with sensitivities to the parameters of these numbers.

    Its states are those of the step, then S_ip in the order of i and p; its outputs those of the step, then the history
    of each state that is no output already, for the backward pass of the step itself.
    """
    program = program_of(key)
    graph, states = program.stages[0].graph, range(program.state)
    builder = GraphBuilder(program.dtype)
    names = [*(f"y{i}" for i in range(program.y)), *(f"new_state{i}" for i in states)]
    outputs = transcribe(builder, graph.select(names), {})
    own = [outputs[f"new_state{i}"] for i, y in enumerate(program.y_of_state) if y is None]
    outputs |= {f"y{program.y + number}": value for number, value in enumerate(own)}
    derivatives = graph.select([*(f"grad_state{j}" for j in states), *(f"grad_params{p}" for p in wanted)])
    for i in states:
        gradients = {f"grad_y{k}": 0.0 for k in range(program.y)} | {
            f"grad_new_state{j}": float(i == j) for j in states
        }
        local = transcribe(builder, derivatives, {name: builder.constant(one) for name, one in gradients.items()})
        for number, p in enumerate(wanted):
            total = local[f"grad_params{p}"]
            for j in states:
                before = builder.input(f"state{program.state + j * len(wanted) + number}")
                if not is_zero(builder, local[f"grad_state{j}"]):
                    total = local[f"grad_state{j}"] * before + total
            outputs[f"new_state{program.state + i * len(wanted) + number}"] = total
    joint = builder.finish(outputs)
    count_y, count_state = program.y + len(own), program.state * (1 + len(wanted))
    stage = Stage(joint, 0, count_state, count_state, count_y)
    new_key = hashlib.sha256(f"{program.dtype}\n{joint}".encode()).hexdigest()[:24]
    nothing = (None,) * count_state
    return Program(
        new_key, (stage,), program.dtype, program.x, program.params, count_state, count_y, program.y_tree, nothing
    )


def transcribe(builder: GraphBuilder, graph: Graph, values: Mapping[str, Value]) -> dict[str, Value]:
    """Add a graph to the builder with these values in place of some inputs, in which the graph is linear; its outputs.

    A product with 0 among what depends on these values is left out.
    """
    made: list[Value] = []
    linear: set[int] = set()
    for number, node in enumerate(graph.nodes):
        inputs = [made[i] for i in node.inputs]
        if linear.intersection(node.inputs) or node.name in values:
            linear.add(number)
        if node.op == "input":
            value = values[node.name] if node.name in values else builder.input(node.name)
        elif node.op == "constant":
            value = builder.constant(node.value, node.kind)
        elif number in linear and vanishes(node.op, [is_zero(builder, each) for each in inputs]):
            value = builder.constant(0.0, node.kind)
        elif node.op == "cast":
            value = builder.cast(inputs[0], node.kind)
        else:
            value = builder(node.op, *inputs)
        made.append(value)
    return {name: made[number] for name, number in graph.outputs.items()}


def vanishes(op: str, zeros: list[bool]) -> bool:
    """Whether a linear operation on values of which these are 0 gives 0."""
    match op:
        case "mul":
            return any(zeros)
        case "div" | "neg" | "cast":
            return zeros[0]
        case "where":
            return zeros[1] and zeros[2]
    return False


def is_zero(builder: GraphBuilder, value: Value) -> bool:
    node = builder.nodes[value]
    return node.op == "constant" and node.value == 0
