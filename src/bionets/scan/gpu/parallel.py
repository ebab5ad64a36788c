"""Linear recurrences on CUDA with many time steps in parallel; otherwise, long sequences of few elements would leave
most of the GPU idle."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from bionets.scan.call import Call
from bionets.scan.gpu.kernel_arguments import KernelArguments
from bionets.scan.gpu.kernels import columns_of, find_kernel
from bionets.scan.gpu.parallel_printer import (
    print_parallel_backward,
    print_parallel_forward,
    print_summary,
    summary_size,
)
from bionets.scan.gpu.printer import Source, Variant
from bionets.scan.gpu.results import Results
from bionets.scan.program.linear import linear_steps

CHUNK = 64  # number of time steps computed in parallel
INSTANCES = 256  # number of instances of a kernel, if time can be cut into segments of several chunks
CHUNKS = 2  # minimum number of chunks in a segment
LONG = 256  # minimum number of time steps
FEW = 1 << 15  # maximum number of elements; more elements use the whole GPU with sequential steps
STATES = 2  # maximum number of states; the linear maps of more states need too many registers


def runs_in_parallel(call: Call) -> bool:
    """Whether many time steps are computed in parallel. The limits have not been timed."""
    fits = call.time >= LONG and call.batch * call.width <= FEW and call.program.state <= STATES
    return fits and linear_steps(call.program.key) is not None


def parallel_forward(call: Call, y: list[Tensor], final: list[Tensor], histories: dict[int, Tensor]) -> None:
    """Fill y, the final state, and the histories by number of the state."""
    arguments = _kernel_arguments(call)
    arguments.add_outputs(y, final, histories)
    variant = arguments.variant(recompute=call.checkpoint_every > 1, histories=tuple(histories))
    _launch(arguments, variant, print_parallel_forward, backward=False)


def parallel_backward(
    call: Call,
    states: list[Tensor],
    grad_y: list[Tensor | None],
    grad_final: list[Tensor | None],
    results: Results,
) -> None:
    """Fill the results. `states` holds the history of each state; with checkpoints, all states are recomputed."""
    if call.checkpoint_every > 1:
        call = replace(call, checkpoint_every=1)
        states = [results.empty(call.time, call.batch, call.width) for _ in states]
        y = [results.empty(call.time, call.batch, call.width) for _ in range(call.program.y)]
        parallel_forward(call, y, [torch.empty_like(leaf) for leaf in call.state], dict(enumerate(states)))
    arguments = _kernel_arguments(call)
    for i, leaf in enumerate(states):
        arguments.add_history(f"history{i}", leaf, 0)
    arguments.add_gradients(grad_y, grad_final, results, 0)
    sums = {i: results.empty(arguments.values["segments"], *leaf.shape) for i, leaf in results.sums.items()}
    arguments.values |= {f"grad_params{i}": leaf for i, leaf in sums.items()}
    variant = arguments.variant(needs_x=results.needs.x, needs_params=results.needs.params)
    _launch(arguments, variant, print_parallel_backward, backward=True)
    for i, leaf in sums.items():
        torch.sum(leaf, 0, out=results.sums[i])


def _kernel_arguments(call: Call) -> KernelArguments:
    """The arguments that all kernels share, with enough segments of time to use the whole GPU."""
    arguments = KernelArguments(call)
    arguments.add_inputs(0)
    wanted = max(1, min(INSTANCES // columns_of(call.batch * call.width), call.time // (CHUNKS * CHUNK)))
    chunks = -(-call.time // (wanted * CHUNK))
    arguments.values["segment_steps"] = chunks * CHUNK
    arguments.values["segments"] = -(-call.time // (chunks * CHUNK))
    return arguments


def _launch(arguments: KernelArguments, variant: Variant, printer: Callable[..., Source], backward: bool) -> None:
    """Compute the summaries of the segments, if there are several, and run the kernel printed by this printer."""
    program, segments, call = arguments.call.program, arguments.values["segments"], arguments.call
    size = segments * summary_size(program, backward) * call.batch * call.width if segments > 1 else 0
    arguments.values["summary"] = call.x[0].new_empty(max(size, 1), dtype=program.dtype)
    if segments > 1:
        arguments.launch(find_kernel(print_summary, program, variant, CHUNK, backward))
    arguments.launch(find_kernel(printer, program, variant, CHUNK))
