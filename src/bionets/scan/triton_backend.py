"""The CUDA backend: hands tensors to the printed Triton kernels, each as it lies at the step that is walked first.

Elementwise recurrences, and dense ones whose weights fit on chip, run in one kernel over all of time. Wider dense
recurrences loop over time, with a matrix product and a kernel for each stage (`triton_loop`).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bionets.scan.backend import Call
from bionets.scan.numba_printer import shared_gradient
from bionets.scan.triton_kernels import find_kernel, launch_elements, launch_rows
from bionets.scan.triton_printer import Variant
from bionets.scan.triton_scan_printer import print_backward, print_forward

ON_CHIP = 128 * 512  # elements of the weights that a kernel keeps, and
WIDEST = 128  # the widest state


def on_chip(call: Call) -> bool:
    """Whether one kernel runs the whole call."""
    return call.width <= WIDEST and sum(weight.numel() for weight in call.weights) <= ON_CHIP


def forward(call: Call, keep: bool) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """y `[T, B, N]`, the final state `[B, N]`, and the histories that backward needs beside y."""
    program, dtype, device = call.program, call.program.dtype, call.x[0].device
    y = [torch.empty(call.time, call.batch, call.width, dtype=dtype, device=device) for _ in range(program.y)]
    final = [torch.empty(call.batch, call.width, dtype=dtype, device=device) for _ in range(program.state)]
    own = call.histories() if keep else []
    histories = [torch.empty(call.stored_steps, call.batch, call.width, dtype=dtype, device=device) for _ in own]
    if call.weights and not on_chip(call):
        from bionets.scan import triton_loop

        triton_loop.forward(call, y, final, dict(zip(own, histories, strict=True)))
        return y, final, histories
    table = Table(call)
    table.add_inputs(0)
    for i, leaf in enumerate(y):
        table.add_over_time(f"y{i}", leaf, 0)
    for i, leaf in enumerate(final):
        table.values[f"final{i}"] = leaf
    for i, leaf in zip(own, histories, strict=True):
        table.add_history(f"history{i}", leaf, 0)
    recompute = call.checkpoint_every > 1
    kernel = find_kernel(print_forward, program, table.variant(recompute=recompute, histories=tuple(own)))
    table.launch(kernel)
    return y, final, histories


@dataclass
class Gradients:
    """x: `[T, B, X, N]`, the X wanted gradients side by side. params: like the parameters, wanted ones only."""

    x: Tensor | None
    state: list[Tensor]
    params: list[Tensor]
    weights: list[Tensor]


def backward(
    call: Call,
    states: list[Tensor],
    grad_y: list[Tensor | None],
    grad_final: list[Tensor | None],
    needs_x: tuple[bool, ...],
    needs_params: tuple[bool, ...],
) -> Gradients:
    """Gradients of everything that is wanted. `states` holds for each state its history, which may be a y."""
    program, time, batch, width = call.program, call.time, call.batch, call.width
    recompute = call.checkpoint_every > 1
    wanted_x = [i for i, needed in enumerate(needs_x) if needed]
    wanted_params = [i for i, needed in enumerate(needs_params) if needed]
    blocks = [stage.blocks for stage in program.stages]

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=program.dtype, device=call.x[0].device)

    grad_x = empty(time, batch, len(wanted_x), width) if wanted_x else None
    grad_state = [empty(batch, width) for _ in range(program.state)]
    sums = [empty(batch, width) for _ in wanted_params]
    shared = shared_gradient(program, needs_x)
    grad_recurrent = [empty(time, batch, n, width) if n and shared is None else None for n in blocks]
    before = [empty(time, batch, width) if n and (k or recompute) else None for k, n in enumerate(blocks)]
    if call.weights and not on_chip(call):
        raise NotImplementedError
    table = Table(call)
    chunks = -(-time // call.checkpoint_every)
    table.add_inputs((chunks - 1) * call.checkpoint_every if recompute else time - 1)
    table.values["chunks"] = chunks
    for i, history in enumerate(states):
        if recompute:
            table.add_history(f"history{i}", history, max(0, chunks - 2))
            table.values[f"tape{i}"], table.values[f"tape{i}_time"] = (
                empty(call.checkpoint_every, batch, width),
                batch * width,
            )
        else:
            table.add_history(f"history{i}", history, max(0, time - 2))
    for i, leaf in enumerate(grad_y):
        table.add_over_time(f"grad_y{i}", leaf, time - 1)
    for i, leaf in enumerate(grad_final):
        table.add(f"grad_final{i}", leaf)
    for position, i in enumerate(wanted_x):
        assert grad_x is not None
        table.add_over_time(f"grad_x{i}", grad_x[:, :, position], time - 1)
    for k, gradient in enumerate(grad_recurrent):
        for g in range(blocks[k]) if gradient is not None else ():
            table.add_over_time(f"grad_recurrent{k}_{g}", gradient[:, :, g], time - 1)
    for k, leaf in enumerate(before):
        if leaf is not None:
            table.add_over_time(f"before{k}", leaf, time - 1)
    for i, leaf in enumerate(grad_state):
        table.values[f"grad_initial{i}"] = leaf
    for i, leaf in zip(wanted_params, sums, strict=True):
        table.values[f"grad_params{i}"] = leaf
    variant = table.variant(recompute=recompute, needs_x=needs_x, needs_params=needs_params, shared=shared)
    table.launch(find_kernel(print_backward, program, variant))

    params = [
        total.sum().view(1) if call.params[i].numel() == 1 and width != 1 else total.sum(0)
        for i, total in zip(wanted_params, sums, strict=True)
    ]
    weights = []
    for k, weight in enumerate(call.weights):
        gradient = grad_recurrent[k]
        if shared is not None:
            assert grad_x is not None
            gradient = grad_x[:, :, shared : shared + blocks[k]]
        assert gradient is not None
        weights.append(weight_gradient(call, gradient.flatten(2), before[k], states[0]))
    return Gradients(grad_x, grad_state, params, weights)


def weight_gradient(call: Call, gradient: Tensor, before: Tensor | None, history: Tensor) -> Tensor:
    """Sum over time of gradient[t].T @ (state before t), in one product; the initial state has one of its own."""
    rows = gradient.shape[-1]
    if before is not None:
        return gradient.reshape(-1, rows).T @ before.view(-1, call.width)
    first = gradient[-1 if call.reverse else 0].T @ call.state[0]
    later, earlier = (gradient[:-1], history[1:]) if call.reverse else (gradient[1:], history[:-1])
    return first.addmm_(later.reshape(-1, rows).T, earlier.reshape(-1, call.width))


class Table:
    """The arguments of a kernel by name, and what of them is compiled in."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.wide = False
        self.strided: set[str] = set()
        self.absent: set[str] = set()
        self.values: dict[str, Any] = {
            "steps": call.time,
            "every": call.checkpoint_every,
            "direction": -1 if call.reverse else 1,
            "total": call.batch * call.width,
            "width": call.width,
            "lengths": call.lengths,
        }

    def add_inputs(self, step: int) -> None:
        """x at the step that is walked first, and all that is the same at every step."""
        call = self.call
        self.values["time"] = self._time(step)
        for i, leaf in enumerate(call.x):
            self.add_over_time(f"x{i}", leaf, step)
        for i, leaf in enumerate(call.state):
            self.values[f"initial{i}"] = leaf
        for i, leaf in enumerate(call.params):
            self.values[f"params{i}"] = leaf
            if leaf.numel() == 1:
                self.strided.add(f"params{i}")
        for k, weight in enumerate(call.weights):
            self.values[f"weight{k}"] = weight.contiguous()

    def add(self, name: str, leaf: Tensor | None) -> None:
        """A tensor `[B, N]` of any strides."""
        if leaf is None:
            self.absent.add(name)
            return
        self.values[name] = leaf
        if not (leaf.stride() == (self.call.width, 1) or leaf.is_contiguous()):
            self.strided.add(name)
            self.values[f"{name}_row"], self.values[f"{name}_column"] = leaf.stride()
        self.wide |= sum((size - 1) * stride for size, stride in zip(leaf.shape, leaf.stride(), strict=True)) >= 2**31

    def add_over_time(self, name: str, leaf: Tensor | None, step: int) -> None:
        """A tensor `[T, B, N]`, as it lies at a step; steps are counted in the order in which they are walked."""
        if leaf is None:
            self.absent.add(name)
            return
        self.add(name, leaf[self._time(step)])
        self.values[f"{name}_time"] = -leaf.stride(0) if self.call.reverse else leaf.stride(0)

    def add_history(self, name: str, leaf: Tensor, step: int) -> None:
        """A history: by time, or with checkpoints in the order in which they were made. It may be empty."""
        if self.call.checkpoint_every == 1:
            self.add_over_time(name, leaf, step)
        else:
            self.values[name] = leaf[step:] if leaf.shape[0] else self.call.state[0]
            self.values[f"{name}_time"] = self.call.batch * self.call.width

    def variant(self, **options: Any) -> Variant:
        names = (frozenset(self.strided), frozenset(self.absent))
        return Variant(self.call.lengths is not None, strided=names[0], absent=names[1], **options)

    def launch(self, kernel: Any) -> None:
        call = self.call
        if call.weights:
            launch_rows(kernel, self.values, call.program, self.wide)
        else:
            launch_elements(kernel, self.values, call.batch * call.width, self.wide)

    def _time(self, step: int) -> int:
        return self.call.time - 1 - step if self.call.reverse else step
