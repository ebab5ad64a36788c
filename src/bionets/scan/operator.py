"""The scan as one differentiable operation: in eager PyTorch an autograd function, which costs least; for whoever looks
inside (torch.compile, torch.export, fake tensors) a torch operator and another one for its derivative.

An operator takes tensors, numbers and strings: the step is named by the key of its program.
"""

import contextlib
import dataclasses
import functools
import importlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from bionets.scan.backend import Call
from bionets.scan.eager import as_it_reads, is_eager
from bionets.scan.program import check_compiled, program_of
from bionets.scan.sensitivity import sensitivity_program

MODULES = {"cpu": "bionets.scan.cpu.backend", "triton": "bionets.scan.gpu.backend"}


def run_scan(call: Call, backend: str) -> list[Tensor]:
    """y and the final state, each `[T, B, N]` and `[B, N]`."""
    tensors = call.tensors
    keep = torch.is_grad_enabled() and any(leaf.requires_grad for leaf in tensors)
    if not is_eager(tensors):
        if torch._C._are_functorch_transforms_active():
            importlib.import_module("bionets.scan.vmap")  # it tells torch how, which takes too long to do unasked
        return _forward_by_operator(call, backend, keep)[: call.program.y + call.program.state]
    return list(_Scan.apply(call, backend, *tensors)) if keep else _forward(call, backend, keep)


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


# what eager mode and the operators share


def _forward(call: Call, backend: str, keep: bool) -> list[Tensor]:
    """y, the final state, and with `keep` what the backward pass needs beside y: the histories, and with delays two
    more tensors."""
    call = _as_it_reads(call)
    with _no_autocast(call):
        y, final, histories = backend_module(backend).forward(call, keep)
    return [*y, *final, *histories]


def _backward(
    call: Call,
    backend: str,
    states: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    needs_x: Sequence[bool],
    needs_params: Sequence[bool],
    needs_delay: Sequence[bool],
) -> list[Tensor]:
    """The wanted gradients of x side by side in one tensor `[T, B, X, N]`, then those of state, params, weights and
    delay."""
    call, gradients = _as_it_reads(call), [leaf if leaf is None else as_it_reads(leaf) for leaf in gradients]
    grad_y, grad_final = gradients[: call.program.y], gradients[call.program.y :]
    with _no_autocast(call):
        found = backend_module(backend).backward(
            call, list(states), list(grad_y), list(grad_final), tuple(needs_x), tuple(needs_params), tuple(needs_delay)
        )
    return [*([] if found.x is None else [found.x]), *found.state, *found.params, *found.weights, *found.delay]


def _states(call: Call, forward: Sequence[Tensor]) -> list[Tensor]:
    """For each state its history, and what delays need, out of everything that `_forward` has returned."""
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
    backward = _backward_by_operator if watched else _backward
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


def _as_it_reads(call: Call) -> Call:
    x, state, params, weights, delay = ([as_it_reads(leaf) for leaf in group] for group in call.groups)
    return dataclasses.replace(call, x=x, state=state, params=params, weights=weights, delay=delay)


@functools.cache
def backend_module(name: str) -> Any:
    """The module with `forward` and `backward` of a compiling backend, imported when first used."""
    return importlib.import_module(MODULES[name])


def _no_autocast(call: Call) -> contextlib.AbstractContextManager[Any]:
    device = call.x[0].device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext()


class _Scan(torch.autograd.Function):
    """The scan in eager mode."""

    @staticmethod
    def forward(ctx: Any, call: Call, backend: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        found = _forward(call, backend, keep=True)
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
            _forward(joint, backend, keep=False), (program.y, len(call.histories()), program.state)
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


# the operators

INPUTS = (
    "Tensor[] x, Tensor[] state, Tensor[] params, Tensor[] weights, Tensor[] delay, Tensor? lengths, "
    "str program, bool reverse, int checkpoint_every, str backend"
)
PROGRAM = 6  # its place among them


def _forward_by_operator(call: Call, backend: str, keep: bool) -> list[Tensor]:
    found: list[Tensor] = scan_forward(*_inputs(call, backend), keep)
    return found


def _backward_by_operator(
    call: Call,
    backend: str,
    states: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    needs_x: Sequence[bool],
    needs_params: Sequence[bool],
    needs_delay: Sequence[bool],
) -> list[Tensor]:
    found: list[Tensor] = scan_backward(gradients, states, *_inputs(call, backend), needs_x, needs_params, needs_delay)
    return found


def _inputs(call: Call, backend: str) -> tuple[Any, ...]:
    """The tensor inputs in the order of `INPUTS`."""
    options = (call.program.key, call.reverse, call.checkpoint_every, backend)
    return (*call.groups, call.lengths, *options)


def _call(inputs: Sequence[Any]) -> tuple[Call, str]:
    """The call and the backend, back from `_inputs`."""
    *groups, lengths, program, reverse, every, backend = inputs
    x, state, params, weights, delay = map(list, groups)
    return Call(program_of(program), x, state, params, weights, lengths, reverse, every, delay), backend


def _scan(*arguments: Any) -> list[Tensor]:
    *inputs, keep = arguments
    check_compiled(inputs[PROGRAM])
    return _forward(*_call(inputs), keep)


def _fake_scan(*arguments: Any) -> list[Tensor]:
    *inputs, keep = arguments
    call, _ = _call(inputs)

    def empty(*shape: int) -> Tensor:
        return call.x[0].new_empty(shape, dtype=call.program.dtype)

    y = [empty(call.time, call.batch, call.width) for _ in range(call.program.y)]
    final = [empty(call.batch, call.width) for _ in call.state]
    own = [empty(call.stored_steps, call.batch, call.width) for _ in (call.histories() if keep else ())]
    if not keep or not call.delay:
        return [*y, *final, *own]
    history = empty(len(call.delay[0]) + call.time, call.spread_step)
    return [*y, *final, *own, history, empty(call.time, call.batch, call.width)]


def _scan_backward(gradients: Sequence[Tensor | None], states: Sequence[Tensor], *arguments: Any) -> list[Tensor]:
    *inputs, needs_x, needs_params, needs_delay = arguments
    return _backward(*_call(inputs), states, gradients, needs_x, needs_params, needs_delay)


def _fake_scan_backward(gradients: Sequence[Tensor | None], states: Sequence[Tensor], *arguments: Any) -> list[Tensor]:
    *inputs, needs_x, needs_params, needs_delay = arguments
    call, _ = _call(inputs)
    wanted = [leaf for leaf, needed in zip(call.params, needs_params, strict=True) if needed]
    rows = (call.time, call.batch, sum(needs_x), call.width)
    grad_x = [call.x[0].new_empty(rows, dtype=call.program.dtype)] if any(needs_x) else []
    delay = [leaf for leaf, needed in zip(call.delay, needs_delay, strict=True) if needed]
    return [*grad_x, *(leaf.new_empty(leaf.shape) for leaf in (*call.state, *wanted, *call.weights, *delay))]


def _remember_inputs(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    call, backend = _call(inputs[:-1])
    if inputs[-1]:
        _remember(ctx, call, backend, output)


def _differentiate_operator(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    program = ctx.options[0]
    needs_x, _, needs_params, _, needs_delay = (list(map(bool, needs)) for needs in ctx.needs_input_grad[:5])
    found = _differentiate(ctx, gradients[: program.y + program.state], needs_x, needs_params, needs_delay)
    return (*found, *(None,) * 6)


def _refuse(ctx: Any, *gradients: Any) -> None:
    raise RuntimeError("scan has no second derivative on compiled backends; use backend='reference'")


def _register(schema: str, function: Any, fake: Any, derivative: Any, remember: Any = None) -> Any:
    """An operator for all devices. (`torch.library.custom_op` would import torch.compile at the first call.)"""
    name = schema.partition("(")[0]
    torch.library.define(name, schema.removeprefix(name), tags=torch.Tag.pt2_compliant_tag)
    torch.library.impl(name, "CompositeExplicitAutograd", function)
    torch.library.register_fake(name, fake)
    torch.library.register_autograd(name, derivative, setup_context=remember)
    namespace, _, operator = name.partition("::")
    return getattr(getattr(torch.ops, namespace), operator).default


scan_forward = _register(
    f"bionets::scan({INPUTS}, bool keep) -> Tensor[]", _scan, _fake_scan, _differentiate_operator, _remember_inputs
)
scan_backward = _register(
    f"bionets::scan_backward(Tensor?[] gradients, Tensor[] states, {INPUTS}, "
    "bool[] needs_x, bool[] needs_params, bool[] needs_delay) -> Tensor[]",
    _scan_backward,
    _fake_scan_backward,
    _refuse,
)
