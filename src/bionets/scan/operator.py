"""The scan as torch operators, so that torch.compile, torch.export and autograd treat it as one operation.

An operator takes tensors, numbers and strings: the step is named by the key of its program.
"""

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bionets.scan.backend import Call
from bionets.scan.program import program_of

MODULES = {"numba": "bionets.scan.numba_backend", "triton": "bionets.scan.triton_backend"}


def backend_module(name: str) -> Any:
    """The module with `forward` and `backward` of a compiling backend, imported when first used."""
    return importlib.import_module(MODULES[name])


def _scan(
    x: Sequence[Tensor],
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    program: str,
    reverse: bool,
    checkpoint_every: int,
    backend: str,
    keep: bool,
) -> list[Tensor]:
    """y, the final state, and with `keep` the histories that the backward pass needs."""
    call = _call(x, state, params, weights, lengths, program, reverse, checkpoint_every)
    with torch.autocast(x[0].device.type, enabled=False):
        y, final, histories = backend_module(backend).forward(call, keep)
    return [*y, *final, *histories]


def _fake_scan(
    x: Sequence[Tensor],
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    program: str,
    reverse: bool,
    checkpoint_every: int,
    backend: str,
    keep: bool,
) -> list[Tensor]:
    call = _call(x, state, params, weights, lengths, program, reverse, checkpoint_every)
    dtype = call.program.dtype
    y = [x[0].new_empty((call.time, call.batch, call.width), dtype=dtype) for _ in range(call.program.y)]
    final = [x[0].new_empty((call.batch, call.width), dtype=dtype) for _ in state]
    own = call.histories() if keep else []
    return [*y, *final, *(x[0].new_empty((call.stored_steps, call.batch, call.width), dtype=dtype) for _ in own)]


def _scan_backward(
    grad_y: Sequence[Tensor | None],
    grad_final: Sequence[Tensor | None],
    states: Sequence[Tensor],
    x: Sequence[Tensor],
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    program: str,
    reverse: bool,
    checkpoint_every: int,
    backend: str,
    needs_x: Sequence[bool],
    needs_params: Sequence[bool],
) -> list[Tensor]:
    """The wanted gradients of x side by side in one tensor `[T, B, X, N]`, then those of state, params and weights."""
    call = _call(x, state, params, weights, lengths, program, reverse, checkpoint_every)
    with torch.autocast(x[0].device.type, enabled=False):
        found = backend_module(backend).backward(
            call, list(states), list(grad_y), list(grad_final), tuple(needs_x), tuple(needs_params)
        )
    grad_x = [] if found.x is None else [found.x]
    return [*grad_x, *found.state, *found.params, *found.weights]


def _fake_scan_backward(
    grad_y: Sequence[Tensor | None],
    grad_final: Sequence[Tensor | None],
    states: Sequence[Tensor],
    x: Sequence[Tensor],
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    program: str,
    reverse: bool,
    checkpoint_every: int,
    backend: str,
    needs_x: Sequence[bool],
    needs_params: Sequence[bool],
) -> list[Tensor]:
    time, batch, width = x[0].shape
    wanted = [leaf for leaf, needed in zip(params, needs_params, strict=True) if needed]
    grad_x = [x[0].new_empty((time, batch, sum(needs_x), width), dtype=state[0].dtype)] if any(needs_x) else []
    return [*grad_x, *(leaf.new_empty(leaf.shape) for leaf in (*state, *wanted, *weights))]


def _call(
    x: Sequence[Tensor],
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    weights: Sequence[Tensor],
    lengths: Tensor | None,
    program: str,
    reverse: bool,
    checkpoint_every: int,
) -> Call:
    tensors = (list(x), list(state), list(params), list(weights))
    return Call(program_of(program), *tensors, lengths, reverse, checkpoint_every)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    x, state, params, weights, lengths, program, reverse, every, backend, keep = inputs
    ctx.set_materialize_grads(False)  # zeros as large as the histories, for nothing
    call = _call(x, state, params, weights, lengths, program, reverse, every)
    count = call.program.y + call.program.state
    own = iter(output[count:])
    states = [next(own) if same is None else output[same] for same in call.y_as_history()] if keep else []
    ctx.options = (program, reverse, every, backend)
    ctx.counts = (len(states), len(x), len(state), len(params), len(weights))
    ctx.save_for_backward(*states, *x, *state, *params, *weights, lengths)


def _differentiate(ctx: Any, gradients: list[Tensor | None]) -> tuple[Any, ...]:
    program_key, reverse, every, backend = ctx.options
    program = program_of(program_key)
    saved, groups = list(ctx.saved_tensors), []
    for count in ctx.counts:
        groups.append([saved.pop(0) for _ in range(count)])
    states, x, state, params, weights = groups
    needs_x, _, needs_params = ([bool(need) for need in needs] for needs in ctx.needs_input_grad[:3])
    found = scan_backward(
        gradients[: program.y],
        gradients[program.y : program.y + program.state],
        states,
        x,
        state,
        params,
        weights,
        saved[0],
        program_key,
        reverse,
        every,
        backend,
        needs_x,
        needs_params,
    )
    grad_x = iter(found.pop(0).unbind(2) if any(needs_x) else ())
    grad_state = [found.pop(0) for _ in state]
    grad_params = [found.pop(0) if needed else None for needed in needs_params]
    return ([next(grad_x) if needed else None for needed in needs_x], grad_state, grad_params, found, *(None,) * 6)


def _refuse(ctx: Any, *gradients: Any) -> None:
    raise RuntimeError("scan has no second derivative on compiled backends; use backend='reference'")


def _register(name: str, function: Any, fake: Any, derivative: Any, remember: Any = None) -> Any:
    """An operator for all devices. (`torch.library.custom_op` would import torch.compile at the first call.)"""
    torch.library.define(name, torch.library.infer_schema(function, mutates_args=()), tags=torch.Tag.pt2_compliant_tag)
    torch.library.impl(name, "CompositeExplicitAutograd", function)
    torch.library.register_fake(name, fake)
    torch.library.register_autograd(name, derivative, setup_context=remember)
    namespace, _, operator = name.partition("::")
    return getattr(getattr(torch.ops, namespace), operator).default


scan_forward = _register("bionets::scan", _scan, _fake_scan, _differentiate, _remember)
scan_backward = _register("bionets::scan_backward", _scan_backward, _fake_scan_backward, _refuse)
