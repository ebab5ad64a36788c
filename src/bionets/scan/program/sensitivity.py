"""The program of a step that also computes the sensitivities of its states to its parameters, for online learning.

A step is elementwise, so the derivative of state i after it with respect to state j before it is one number for each
element, and the same for a parameter. Forward-mode differentiation adds, for each state i and wanted parameter p, the
state

    S_ip ← Σ_j (∂state_i'/∂state_j) S_jp + ∂state_i'/∂p

The local derivatives are the vector-Jacobian product of the step with a gradient of 1 for state i' and undefined
gradients for all other results. They are added to the graph of the step, so one kernel computes both.
"""

import functools

from bionets.scan.builder import GraphBuilder
from bionets.scan.program.program import Program, key_of, program_of, register
from bionets.scan.program.undefined import substitute
from bionets.scan.trace.stage import Stage


@functools.lru_cache(maxsize=256)
def sensitivity_program(key: str, wanted: tuple[int, ...]) -> Program:
    """The program of one stage with this key, extended by the sensitivities to the parameters with these numbers.

    Its states are the states of the step, then S_ip in the order of i and p. Its outputs are the outputs of the step,
    then the history of each state that is not an output, for the backward pass of the step.
    """
    program = program_of(key)
    graph, states = program.stages[0].graph, range(program.state)
    builder = GraphBuilder(program.dtype)
    names = [*(f"y{i}" for i in range(program.y)), *(f"new_state{i}" for i in states)]
    outputs = substitute(builder, graph.select(names), {})
    own = [outputs[f"new_state{i}"] for i, y in enumerate(program.y_of_state) if y is None]
    outputs |= {f"y{program.y + number}": value for number, value in enumerate(own)}
    derivatives = graph.select([*(f"grad_state{j}" for j in states), *(f"grad_params{p}" for p in wanted)])
    for i in states:
        gradients = {f"grad_y{k}": builder.undefined() for k in range(program.y)}
        gradients |= {f"grad_new_state{j}": builder.constant(1.0) if i == j else builder.undefined() for j in states}
        local = substitute(builder, derivatives, gradients)
        for number, p in enumerate(wanted):
            total = local[f"grad_params{p}"]
            for j in states:
                before = builder.input(f"state{program.state + j * len(wanted) + number}")
                if not builder.nodes[local[f"grad_state{j}"]].is_zero:
                    total = local[f"grad_state{j}"] * before + total
            outputs[f"new_state{program.state + i * len(wanted) + number}"] = total
    joint = builder.finish(outputs)
    count_y, count_state = program.y + len(own), program.state * (1 + len(wanted))
    stage = Stage(joint, 0, count_state, count_state, count_y)
    key, nothing = key_of(program.dtype, (stage,)), (None,) * count_state
    return register(Program(key, (stage,), program.dtype, program.x, program.params, count_state, count_y, nothing))
