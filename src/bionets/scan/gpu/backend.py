"""The CUDA backend: one printed Triton kernel forward, one backward.

Elementwise recurrences, and dense recurrences whose weights fit on chip, run in one kernel over all time steps. Wider
dense recurrences loop over time, with a matrix product and a kernel for each stage (`loop`). Linear recurrences of few
elements over many time steps compute many steps in parallel (`parallel`).
"""

import torch
from torch import Tensor

from bionets.scan.call import Call, Gradients, Needs
from bionets.scan.gpu.kernel_arguments import KernelArguments
from bionets.scan.gpu.kernels import find_kernel, padded
from bionets.scan.gpu.loop import loop_backward, loop_forward
from bionets.scan.gpu.parallel import parallel_backward, parallel_forward, runs_in_parallel
from bionets.scan.gpu.results import Results, first_products
from bionets.scan.gpu.scan_printer import print_backward, print_forward

ON_CHIP = 4 * 128 * 128  # padded elements of all weights: half in registers, half in the first-level cache


def runs_in_a_loop(call: Call) -> bool:
    """Whether the weights are too large for a kernel that keeps them on chip."""
    blocks = sum(stage.blocks for stage in call.program.stages)
    return blocks * padded(call.width) ** 2 > ON_CHIP


def forward(call: Call, keep: bool) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Returns y `[T, B, N]`, the final state `[B, N]`, and the histories that the backward pass needs."""
    program, dtype, device = call.program, call.program.dtype, call.x[0].device
    y = [torch.empty(call.time, call.batch, call.width, dtype=dtype, device=device) for _ in range(program.y)]
    final = [torch.empty(call.batch, call.width, dtype=dtype, device=device) for _ in range(program.state)]
    own = call.histories() if keep else []
    histories = [torch.empty(call.stored_steps, call.batch, call.width, dtype=dtype, device=device) for _ in own]
    by_state = dict(zip(own, histories, strict=True))
    if runs_in_a_loop(call):
        loop_forward(call, y, final, by_state)
        return y, final, histories
    if runs_in_parallel(call):
        parallel_forward(call, y, final, by_state)
        return y, final, histories
    arguments = KernelArguments(call)
    arguments.add_inputs(0)
    for k, weight in enumerate(call.weights):
        blocks = weight.unflatten(0, (-1, call.width))
        arguments.values[f"weight{k}"] = blocks.transpose(1, 2).contiguous()
    arguments.add_outputs(y, final, by_state)
    recompute = call.checkpoint_every > 1
    kernel = find_kernel(print_forward, program, arguments.variant(recompute=recompute, histories=tuple(own)))
    arguments.launch(kernel)
    return y, final, histories


def backward(
    call: Call,
    states: list[Tensor],
    grad_y: list[Tensor | None],
    grad_final: list[Tensor | None],
    needs: Needs,
) -> Gradients:
    """The wanted gradients. `states` holds the history of each state, which may be a y."""
    results = Results(call, needs)
    if runs_in_a_loop(call):
        loop_backward(call, states, grad_y, grad_final, results)
    elif runs_in_parallel(call):
        parallel_backward(call, states, grad_y, grad_final, results)
    else:
        _backward(call, states, grad_y, grad_final, results)
    return results.gradients(states[0])


def _backward(
    call: Call,
    states: list[Tensor],
    grad_y: list[Tensor | None],
    grad_final: list[Tensor | None],
    results: Results,
) -> None:
    every, last = call.checkpoint_every, call.time - 1
    recompute = every > 1
    chunks = -(-call.time // every)
    arguments = KernelArguments(call)
    arguments.add_inputs((chunks - 1) * every if recompute else last)
    arguments.values["chunks"] = chunks
    for i, history in enumerate(states):
        arguments.add_history(f"history{i}", history, max(0, (chunks if recompute else call.time) - 2))
        if recompute:
            arguments.add_over_time(f"tape{i}", results.empty(every, call.batch, call.width), 0, forward=True)
    products = bool(call.weights) and not recompute
    if products:
        for g, leaf in enumerate(first_products(call, states[0]).split(call.width, 2)):
            arguments.add_over_time(f"product{g}", leaf, last)
    arguments.add_gradients(grad_y, grad_final, results, last)
    for k, blocks in enumerate(results.recurrent):
        for g, gradient in enumerate(blocks):
            arguments.add_over_time(f"grad_recurrent{k}_{g}", gradient, last)
    for k, before in enumerate(results.before):
        arguments.add_over_time(f"before{k}", before, last)
    variant = arguments.variant(
        recompute=recompute,
        products=products,
        needs_x=results.needs.x,
        needs_params=results.needs.params,
        shared=results.shared,
    )
    arguments.launch(find_kernel(print_backward, call.program, variant))
