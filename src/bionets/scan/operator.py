"""The scan as one differentiable operation. In eager PyTorch it is an autograd function, which has the least overhead;
for torch.compile, torch.export and fake tensors it is an operator of `torch_operators`.
"""

import dataclasses
import importlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from bionets.scan.call import Call, Needs
from bionets.scan.eager import in_transform, is_batched_gradient, is_eager
from bionets.scan.execution import reached_by, run_backward, run_forward
from bionets.scan.program.sensitivity import sensitivity_program
from bionets.scan.program.undefined import differentiable_results
from bionets.scan.torch_operators import backward_by_operator, forward_by_operator, read_inputs


def run_scan(call: Call, backend: str) -> list[Tensor]:
    """Returns the tensors of y, each `[T, B, N]`, and of the final state, each `[B, N]`."""
    tensors = call.tensors
    keep = torch.is_grad_enabled() and any(leaf.requires_grad for leaf in tensors)
    if not is_eager(tensors):
        _register_vmap()
        return forward_by_operator(call, backend, keep)[: call.program.y + call.program.state]
    return list(_Scan.apply(call, backend, *tensors)) if keep else run_forward(call, backend, keep)


def run_online(
    call: Call, backend: str, wanted: tuple[int, ...], before: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Returns y and the final state like `run_scan`, and the sensitivities to the wanted parameters after the last
    step, given those before the first step, each `[B, N]`.
    """
    if not is_eager(call.tensors):
        raise RuntimeError("online gradients are for eager PyTorch: without torch.compile, torch.export and torch.func")
    found = _OnlineScan.apply(call, backend, wanted, before, *call.tensors)
    count = call.program.y + call.program.state
    return list(found[:count]), list(found[count:])


def _register_vmap() -> None:
    if in_transform():
        importlib.import_module("bionets.scan.vmap")  # its rules, only if they are needed: registration is slow


def _save(ctx: Any, call: Call, backend: str, forward: Sequence[Tensor]) -> None:
    """Save the tensors of a call and of the results of `run_forward` that the backward pass needs."""
    own = iter(forward[call.program.y + call.program.state :])
    states = [*(next(own) if same is None else forward[same] for same in call.y_as_history()), *own]
    ctx.set_materialize_grads(False)  # avoids zeros as large as the histories
    ctx.options = (call.program, call.reverse, call.checkpoint_every, call.store_products, backend)
    ctx.counts = (len(states), *map(len, call.groups[:-1]))
    ctx.save_for_backward(*states, *call.tensors, call.lengths)


def _differentiate(ctx: Any, gradients: Sequence[Tensor | None], needs: Needs) -> list[list[Tensor | None]]:
    """The gradients of x, state, params, weights and delay. A gradient is None if the loss does not depend on the
    tensor, or if a tensor of x, params or delay needs no gradient.
    """
    program, reverse, every, store, backend = ctx.options
    *saved, lengths = ctx.saved_tensors
    states, x, state, params, weights, delay = _cut(saved, ctx.counts)
    call = Call(program, x, state, params, weights, lengths, reverse, every, delay, store)
    _register_vmap()
    gradients = gradients[: program.y + program.state]
    reached = reached_by(call, gradients)
    needs = Needs(_both(needs.x, reached.x), _both(needs.params, reached.params), needs.delay)
    backward = backward_by_operator if torch.is_grad_enabled() or not is_eager(call.tensors) else run_backward
    found = backward(call, backend, states, gradients, needs)
    grad_x = found.pop(0).unbind(2) if any(needs.x) else ()
    of_state, of_params, of_weights, of_delay = _cut(found, (program.state, sum(needs.params), len(weights)))
    return [
        _spread(grad_x, needs.x),
        _where(reached.state, of_state),
        _spread(of_params, needs.params),
        _where(reached.weights, of_weights),
        _spread(of_delay, needs.delay),
    ]


def _spread(found: Iterable[Tensor], needed: Sequence[bool]) -> list[Tensor | None]:
    """The gradients at the places where one is needed, None at the others."""
    following = iter(found)
    return [next(following) if each else None for each in needed]


def _where(flags: Sequence[bool], leaves: Sequence[Tensor]) -> list[Tensor | None]:
    return [leaf if flag else None for flag, leaf in zip(flags, leaves, strict=True)]


def _both(one: Sequence[bool], other: Sequence[bool]) -> tuple[bool, ...]:
    return tuple(a and b for a, b in zip(one, other, strict=True))


def _cut(sequence: Sequence[Any], counts: Iterable[int]) -> list[list[Any]]:
    """Split a list into parts of these lengths, and the rest."""
    parts, start = [], 0
    for count in counts:
        parts.append(list(sequence[start : start + count]))
        start += count
    return [*parts, list(sequence[start:])]


def _needs_of(flags: Sequence[bool], counts: Sequence[int]) -> Needs:
    """The wanted gradients, from a flag for each tensor of a call; counts: numbers of x, state, params and weights."""
    x, _, params, _, delay = _cut(flags, counts)
    return Needs(tuple(x), tuple(params), tuple(delay))


def _mark_without_gradient(ctx: Any, call: Call, results: Sequence[Tensor], needed: Sequence[bool]) -> None:
    """Mark results that depend on no tensor with a gradient as not requiring a gradient, as in eager PyTorch."""
    if call.delay:
        return
    x, state, params, weights, _ = _cut(tuple(needed), [len(group) for group in call.groups[:-1]])
    masked = call.lengths is not None
    flags = differentiable_results(
        call.program.key, call.time, masked, tuple(x), tuple(state), tuple(params), tuple(weights)
    )
    if not all(flags):
        without = [leaf for leaf, differentiable in zip(results, flags, strict=True) if not differentiable]
        ctx.mark_non_differentiable(*without)


class _Scan(torch.autograd.Function):
    """The scan in eager mode."""

    @staticmethod
    def forward(ctx: Any, call: Call, backend: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        found = run_forward(call, backend, keep=True)
        _save(ctx, call, backend, found)
        results = tuple(found[: call.program.y + call.program.state])
        _mark_without_gradient(ctx, call, results, ctx.needs_input_grad[2:])
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        if any(leaf is not None and is_batched_gradient(leaf) for leaf in gradients):
            raise RuntimeError(
                "scan has no batched gradients (is_grads_batched, vectorize=True) on compiled backends; "
                "use torch.vmap of torch.autograd.grad, or backend='reference'"
            )
        found = _differentiate(ctx, gradients, _needs_of(ctx.needs_input_grad[2:], ctx.counts[1:]))
        return (None, None, *(gradient for group in found for gradient in group))


class _OnlineScan(torch.autograd.Function):
    """The scan in eager mode, with the sensitivities of its states; see `sensitivity`."""

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
        _save(ctx, call, backend, [*y, *final, *histories])
        ctx.mark_non_differentiable(*after)
        return (*y, *final, *after)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        found = _differentiate(ctx, gradients, _needs_of(ctx.needs_input_grad[4:], ctx.counts[1:]))
        return (*(None,) * 4, *(gradient for group in found for gradient in group))


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    call, backend = read_inputs(inputs[:-1])
    if inputs[-1]:
        _save(ctx, call, backend, output)


def _differentiate_operator(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    needs_x, _, needs_params, _, needs_delay = (tuple(map(bool, needs)) for needs in ctx.needs_input_grad[:5])
    return (*_differentiate(ctx, gradients, Needs(needs_x, needs_params, needs_delay)), *(None,) * 7)


torch.library.register_autograd("bionets::scan", _differentiate_operator, setup_context=_save_inputs)
