"""The scan as one differentiable operation: in eager PyTorch an autograd function, which costs least; for whoever looks
inside (torch.compile, torch.export, fake tensors) the operators of `torch_operators`.
"""

import dataclasses
import importlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from bionets.scan.backend import Call
from bionets.scan.eager import is_eager
from bionets.scan.execution import run_backward, run_forward
from bionets.scan.program.sensitivity import sensitivity_program
from bionets.scan.torch_operators import backward_by_operator, forward_by_operator, read_inputs


def run_scan(call: Call, backend: str) -> list[Tensor]:
    """y and the final state, each `[T, B, N]` and `[B, N]`."""
    tensors = call.tensors
    keep = torch.is_grad_enabled() and any(leaf.requires_grad for leaf in tensors)
    if not is_eager(tensors):
        if torch._C._are_functorch_transforms_active():
            importlib.import_module("bionets.scan.vmap")  # it tells torch how, which takes too long to do unasked
        return forward_by_operator(call, backend, keep)[: call.program.y + call.program.state]
    return list(_Scan.apply(call, backend, *tensors)) if keep else run_forward(call, backend, keep)


def run_online(
    call: Call, backend: str, wanted: tuple[int, ...], before: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """y and the final state as of `run_scan`, and the sensitivities to the wanted parameters after the last step, of
    those before the first, each `[B, N]`."""
    if not is_eager(call.tensors):
        raise RuntimeError("online gradients are for eager PyTorch: without torch.compile, torch.export and torch.func")
    found = _OnlineScan.apply(call, backend, wanted, before, *call.tensors)
    count = call.program.y + call.program.state
    return list(found[:count]), list(found[count:])


def _states(call: Call, forward: Sequence[Tensor]) -> list[Tensor]:
    """For each state its history, and what delays need, out of everything that `run_forward` has returned."""
    own = iter(forward[call.program.y + call.program.state :])
    return [*(next(own) if same is None else forward[same] for same in call.y_as_history()), *own]


def _remember(ctx: Any, call: Call, backend: str, forward: Sequence[Tensor]) -> None:
    ctx.set_materialize_grads(False)  # zeros as large as the histories, for nothing
    ctx.options = (call.program, call.reverse, call.checkpoint_every, backend)
    ctx.counts = (call.program.state + len(call.delay), *map(len, call.groups[:-1]))
    ctx.save_for_backward(*_states(call, forward), *call.tensors, call.lengths)


def _differentiate(
    ctx: Any,
    gradients: Sequence[Tensor | None],
    needs_x: Sequence[bool],
    needs_params: Sequence[bool],
    needs_delay: Sequence[bool],
) -> tuple[list[Tensor | None], list[Tensor], list[Tensor | None], list[Tensor], list[Tensor | None]]:
    """The gradients of x, state, params, weights and delay; None where x, params and delay need none."""
    program, reverse, every, backend = ctx.options
    *saved, lengths = ctx.saved_tensors
    states, x, state, params, weights, delay = _cut(saved, ctx.counts)
    call = Call(program, x, state, params, weights, lengths, reverse, every, delay)
    watched = torch.is_grad_enabled() or not is_eager(call.tensors)
    if torch._C._are_functorch_transforms_active():
        importlib.import_module("bionets.scan.vmap")
    backward = backward_by_operator if watched else run_backward
    found = backward(call, backend, states, gradients, needs_x, needs_params, needs_delay)
    grad_x = iter(found.pop(0).unbind(2) if any(needs_x) else ())
    of_state, of_params, of_weights, of_delay = _cut(found, (program.state, sum(needs_params), len(weights)))
    of_wanted, of_lags = iter(of_params), iter(of_delay)
    return (
        [next(grad_x) if needed else None for needed in needs_x],
        of_state,
        [next(of_wanted) if needed else None for needed in needs_params],
        of_weights,
        [next(of_lags) if needed else None for needed in needs_delay],
    )


def _cut(sequence: Sequence[Any], counts: Iterable[int]) -> list[list[Any]]:
    """So many elements, so many more, ..., and the rest."""
    parts, start = [], 0
    for count in counts:
        parts.append(list(sequence[start : start + count]))
        start += count
    return [*parts, list(sequence[start:])]


class _Scan(torch.autograd.Function):
    """The scan in eager mode."""

    @staticmethod
    def forward(ctx: Any, call: Call, backend: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        found = run_forward(call, backend, keep=True)
        _remember(ctx, call, backend, found)
        return tuple(found[: call.program.y + call.program.state])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        if any(leaf is not None and torch._C._functorch.is_legacy_batchedtensor(leaf) for leaf in gradients):
            raise RuntimeError(
                "scan has no batched gradients (is_grads_batched, vectorize=True) on compiled backends; "
                "use torch.vmap of torch.autograd.grad, or backend='reference'"
            )
        needs = _cut(ctx.needs_input_grad, (2, *ctx.counts[1:]))
        grads = _differentiate(ctx, gradients, needs[1], needs[3], needs[5])
        return (None, None, *(gradient for group in grads for gradient in group))


class _OnlineScan(torch.autograd.Function):
    """The scan in eager mode, and beside it the sensitivities of its states; see `sensitivity`."""

    @staticmethod
    def forward(
        ctx: Any, call: Call, backend: str, wanted: tuple[int, ...], before: list[Tensor], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        program = call.program
        joint = dataclasses.replace(
            call, program=sensitivity_program(program.key, wanted), state=[*call.state, *before]
        )
        y, histories, final, after = _cut(
            run_forward(joint, backend, keep=False), (program.y, len(call.histories()), program.state)
        )
        _remember(ctx, call, backend, [*y, *final, *histories])
        ctx.mark_non_differentiable(*after)
        return (*y, *final, *after)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        program = ctx.options[0]
        needs = _cut(ctx.needs_input_grad, (4, program.x, program.state, program.params))
        grads = _differentiate(ctx, gradients[: program.y + program.state], needs[1], needs[3], ())
        return (*(None,) * 4, *(gradient for group in grads for gradient in group))


def _remember_inputs(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    call, backend = read_inputs(inputs[:-1])
    if inputs[-1]:
        _remember(ctx, call, backend, output)


def _differentiate_operator(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    program = ctx.options[0]
    needs_x, _, needs_params, _, needs_delay = (list(map(bool, needs)) for needs in ctx.needs_input_grad[:5])
    found = _differentiate(ctx, gradients[: program.y + program.state], needs_x, needs_params, needs_delay)
    return (*found, *(None,) * 6)


torch.library.register_autograd("bionets::scan", _differentiate_operator, setup_context=_remember_inputs)
