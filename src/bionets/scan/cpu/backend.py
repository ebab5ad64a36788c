"""The CPU backend: fills the table of a kernel with sizes and addresses, and runs the kernel on all threads."""

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
    program, time, batch, width = call.program, call.time, call.batch, call.width
    total, dtype = sum(needs.x), program.dtype
    shared = shared_gradients(program.key, needs.x)
    recompute = call.checkpoint_every > 1
    grad_x = empty((time, batch, total, width), dtype) if total else None
    grad_state = [  # also holds the carried gradients
        torch.zeros_like(state) if leaf is None else leaf.to(dtype, copy=True, memory_format=torch.contiguous_format)
        for state, leaf in zip(call.state, grad_final, strict=True)
    ]
    # two rows even for one parameter: torch splits a sum with a single result, but no other sum, among its threads, so
    # that its bits depend on their number
    count = sum(needs.params)
    sums = torch.zeros(max(count, 2) if count else 0, batch, width, dtype=dtype, device="cpu")
    blocks = [stage.blocks for stage in program.stages]
    grad_recurrent = [
        empty((time, batch, n * width), dtype) if n and where is None else None
        for n, where in zip(blocks, shared, strict=True)
    ]
    before = [
        empty((time, batch, width), dtype) if needs_before(program, recompute, k) else None for k in range(len(blocks))
    ]
    transposed = [pack(weight) for weight in call.weights]
    history, delayed = None, None
    states, products = states[: program.state], states[program.state :]
    if call.delay:
        history, delayed, *products = products
        before[0] = delayed

    arguments = KernelArguments(call)
    arguments.add_products(products)
    arguments.add("history", states)
    arguments.add("grad0_", grad_state)
    arguments.add("before", before)
    arguments.add("transposed", transposed)
    for i, leaf in enumerate(transposed):
        arguments.fields[f"transposed{i}_row"] = leaf.stride(0) * leaf.element_size()
    for i, gradient in enumerate(grad_y):
        arguments.add_rows(f"grad_y{i}", None if gradient is None else _rows(gradient, dtype))
    for k, gradient in enumerate(grad_recurrent):
        if gradient is not None:
            names = [f"grad_recurrent{k}_{i}" for i in range(blocks[k])]
            arguments.add_side_by_side(f"grad_recurrent{k}", names, gradient)
    if grad_x is not None:
        names = [f"grad_x{i}" for i, needed in enumerate(needs.x) if needed]
        arguments.add_side_by_side("grad_x", names, grad_x.flatten(2))
    wanted = [i for i, needed in enumerate(needs.params) if needed]
    step = arguments.fields["step"]
    arguments.fields |= {f"sum{i}": sums.data_ptr() + number * step for number, i in enumerate(wanted)}
    masked = call.lengths is not None
    through_delay = None if delayed is None else arguments.add_backward_delay(delayed)
    options = {"backward": True, "delayed": bool(call.delay), "stored_products": bool(products)}
    arguments.run(Variant(masked, recompute, (), needs.x, needs.params, **options))

    totals = sums.sum(1)  # over the batch, in a fixed order; for a scalar parameter over all elements
    scalars = totals.sum(1, keepdim=True)
    params = [(scalars if call.params[i].numel() == 1 else totals)[number] for number, i in enumerate(wanted)]
    factors = []
    for k in range(len(call.weights)):
        gradient, where = grad_recurrent[k], shared[k]
        if where is not None:
            assert grad_x is not None
            begin, end = where * width, (where + blocks[k]) * width  # the blocks are adjacent in each row
            gradient = grad_x.flatten(2)[:, :, begin:end]
        assert gradient is not None
        factors.append(factors_of_weight_gradient(call, gradient, before[k], states[0]))
    delay = []
    if through_delay is not None and history is not None:
        delay = _gradients_of_delay(call, through_delay, Steps(history, batch, width), needs.delay)
    weights = multiply_transposed(factors, [weight.shape for weight in call.weights])
    return Gradients(grad_x, grad_state, params, weights, delay)


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
