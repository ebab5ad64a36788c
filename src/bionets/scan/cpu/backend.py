"""The CPU backend: fills the table of a kernel with sizes and addresses, and runs the kernel on all threads."""

from typing import NamedTuple

import torch
from torch import Tensor

from bionets.scan.call import Call, Gradients, Needs, factors_of_weight_gradient, needs_before, shared_gradients
from bionets.scan.cpu.buffers import empty
from bionets.scan.cpu.delay import Steps, correlation, delayed_sum
from bionets.scan.cpu.kernel_arguments import KernelArguments
from bionets.scan.cpu.matrix import multiply_transposed, pack
from bionets.scan.program.schedule import Variant


def forward(call: Call, keep: bool) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Returns y `[T, B, N]`, the final state `[B, N]`, and the other tensors that the backward pass needs: histories,
    delayed values, recurrent products."""
    program = call.program
    y = [empty((call.time, call.batch, call.width), program.dtype) for _ in range(program.y)]
    final = [leaf.clone() for leaf in call.state]  # also holds the carried state
    own = call.histories() if keep else []
    histories = [empty((call.stored_steps, call.batch, call.width), program.dtype) for _ in own]
    arguments = KernelArguments(call)
    arguments.add("y", y)
    arguments.add("state0_", final)
    arguments.fields |= {f"history{i}": leaf.data_ptr() for i, leaf in zip(own, histories, strict=True)}
    masked, recompute = call.lengths is not None, bool(own) and call.checkpoint_every > 1
    delayed = arguments.add_forward_delay() if call.delay else []
    stores = keep and call.store_products
    products = [empty((call.time, call.batch, len(weight)), program.dtype) for weight in call.weights if stores]
    arguments.add_products(products)
    arguments.run(Variant(masked, recompute, tuple(own), delayed=bool(call.delay), stored_products=stores))
    return y, final, [*histories, *(delayed if keep else []), *products]


def backward(
    call: Call,
    states: list[Tensor],
    grad_y: list[Tensor | None],
    grad_final: list[Tensor | None],
    needs: Needs,
) -> Gradients:
    """The wanted gradients. `states` holds the history of each state, which may be a y; with delays, also the history
    of the first state after its past, and the delayed values; then the recurrent products, if they are stored."""
    program = call.program
    buffers = _buffers(call, grad_final, needs)
    states, products = states[: program.state], states[program.state :]
    history, delayed = None, None
    if call.delay:
        history, delayed, *products = products
        buffers.before[0] = delayed
    transposed = [pack(weight) for weight in call.weights]

    arguments = KernelArguments(call)
    arguments.add_products(products)
    arguments.add("history", states)
    arguments.add("grad0_", buffers.state)
    arguments.add("before", buffers.before)
    arguments.add("transposed", transposed)
    for i, leaf in enumerate(transposed):
        arguments.fields[f"transposed{i}_row"] = leaf.stride(0) * leaf.element_size()
    for i, gradient in enumerate(grad_y):
        arguments.add_rows(f"grad_y{i}", None if gradient is None else _rows(gradient, program.dtype))
    for k, gradient in enumerate(buffers.recurrent):
        if gradient is not None:
            names = [f"grad_recurrent{k}_{i}" for i in range(program.stages[k].blocks)]
            arguments.add_side_by_side(f"grad_recurrent{k}", names, gradient)
    if buffers.x is not None:
        names = [f"grad_x{i}" for i, needed in enumerate(needs.x) if needed]
        arguments.add_side_by_side("grad_x", names, buffers.x.flatten(2))
    wanted = [i for i, needed in enumerate(needs.params) if needed]
    step = arguments.fields["step"]
    arguments.fields |= {f"sum{i}": buffers.sums.data_ptr() + number * step for number, i in enumerate(wanted)}
    through_delay = None if delayed is None else arguments.add_backward_delay(delayed)
    masked, recompute = call.lengths is not None, call.checkpoint_every > 1
    options = {"backward": True, "delayed": bool(call.delay), "stored_products": bool(products)}
    arguments.run(Variant(masked, recompute, (), needs.x, needs.params, **options))

    totals = buffers.sums.sum(1)  # over the batch, in a fixed order; for a scalar parameter over all elements
    scalars = totals.sum(1, keepdim=True)
    params = [(scalars if call.params[i].numel() == 1 else totals)[number] for number, i in enumerate(wanted)]
    factors = [
        factors_of_weight_gradient(call, _gradient_of_product(call, buffers, needs, k), buffers.before[k], states[0])
        for k in range(len(call.weights))
    ]
    weights = multiply_transposed(factors, [weight.shape for weight in call.weights])
    delay = []
    if through_delay is not None and history is not None:
        delay = _gradients_of_delay(call, through_delay, Steps(history, call.batch, call.width), needs.delay)
    return Gradients(buffers.x, buffers.state, params, weights, delay)


class _Buffers(NamedTuple):
    """Memory into which the backward kernel writes.

    Attributes:
        x: the gradients of x, `[T, B, X, N]`; None if none is wanted.
        state: the gradients of the initial state, which also hold the carried gradients.
        recurrent: for each stage the gradient of its products, `[T, B, G * N]`; None if it has none, or shares that of
            x.
        sums: the gradients of the parameters before the sum over the batch, `[P, B, N]`.
        before: for each stage the states that it multiplies, `[T, B, N]`; None if they are stored elsewhere.
    """

    x: Tensor | None
    state: list[Tensor]
    recurrent: list[Tensor | None]
    sums: Tensor
    before: list[Tensor | None]


def _buffers(call: Call, grad_final: list[Tensor | None], needs: Needs) -> _Buffers:
    program, dtype, recompute = call.program, call.program.dtype, call.checkpoint_every > 1
    time, batch, width = call.time, call.batch, call.width
    total, count = sum(needs.x), sum(needs.params)
    state = [
        torch.zeros_like(state) if leaf is None else leaf.to(dtype, copy=True, memory_format=torch.contiguous_format)
        for state, leaf in zip(call.state, grad_final, strict=True)
    ]
    recurrent = [
        empty((time, batch, stage.blocks * width), dtype) if stage.blocks and where is None else None
        for stage, where in zip(program.stages, shared_gradients(program.key, needs.x), strict=True)
    ]
    # two rows even for one parameter: torch splits a sum with a single result, but no other sum, among its threads, so
    # that its bits depend on their number
    sums = torch.zeros(max(count, 2) if count else 0, batch, width, dtype=dtype, device="cpu")
    before = [
        empty((time, batch, width), dtype) if needs_before(program, recompute, k) else None
        for k in range(len(program.stages))
    ]
    return _Buffers(empty((time, batch, total, width), dtype) if total else None, state, recurrent, sums, before)


def _gradient_of_product(call: Call, buffers: _Buffers, needs: Needs, k: int) -> Tensor:
    """The gradient of the products of stage k, `[T, B, G * N]`."""
    gradient, where = buffers.recurrent[k], shared_gradients(call.program.key, needs.x)[k]
    if where is not None:
        assert buffers.x is not None
        end = where + call.program.stages[k].blocks  # the blocks are adjacent in each row
        gradient = buffers.x[:, :, where:end].flatten(2)
    assert gradient is not None
    return gradient


def _gradients_of_delay(call: Call, gradient: Steps, history: Steps, needs: tuple[bool, ...]) -> list[Tensor]:
    """The wanted gradients of lags and past, given those of the delayed values, with zeros for the steps after."""
    (lags, past), found = call.delay, []
    if needs[0]:
        found.append(correlation(gradient, history, call.time, len(lags)).flip(0))
    if needs[1]:
        reached = Steps.empty(call, 2 * len(past))
        reached.view[: len(past)] = 0
        reached.view[len(past) :] = gradient.view[: len(past)]
        found.append(delayed_sum(lags, reached, len(past)))
    return found


def _rows(leaf: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor with contiguous rows, in the dtype of the program."""
    leaf = leaf.to(dtype)
    return leaf if leaf.stride(-1) == 1 or leaf.shape[-1] == 1 else leaf.contiguous()
