"""Runs the forward pass and the backward pass of a call on a compiling backend."""

import contextlib
import dataclasses
import functools
import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bionets.scan.call import Call, Needs
from bionets.scan.eager import is_materialized, materialize
from bionets.scan.program.undefined import Reached, find_reached, without_undefined

MODULES = {"cpu": "bionets.scan.cpu.backend", "triton": "bionets.scan.gpu.backend"}


def run_forward(call: Call, backend: str, keep: bool) -> list[Tensor]:
    """Returns y and the final state. With `keep`, also the tensors that the backward pass needs in addition to y: the
    histories, and with delays two more tensors.
    """
    call = _materialized(call)
    with _no_autocast(call):
        y, final, histories = backend_module(backend).forward(call, keep)
    return [*y, *final, *histories]


def run_backward(
    call: Call, backend: str, states: Sequence[Tensor], gradients: Sequence[Tensor | None], needs: Needs
) -> list[Tensor]:
    """Returns the wanted gradients of x in one tensor `[T, B, X, N]`, then the gradients of state, params, weights and
    delay. states: the tensors that `run_forward` has kept. gradients: those of y and of the final state.
    """
    y, _ = _given(call, gradients)
    program = without_undefined(call.program.key, y, reached_by(call, gradients).after_steps)
    call = dataclasses.replace(_materialized(call), program=program)
    gradients = [leaf if leaf is None else materialize(leaf) for leaf in gradients]
    grad_y, grad_final = gradients[: call.program.y], gradients[call.program.y :]
    with _no_autocast(call):
        found = backend_module(backend).backward(call, list(states), list(grad_y), list(grad_final), needs)
    return [*([] if found.x is None else [found.x]), *found.state, *found.params, *found.weights, *found.delay]


def reached_by(call: Call, gradients: Sequence[Tensor | None]) -> Reached:
    """The tensors reached by these gradients of y and the final state; a gradient is None if the loss does not depend
    on the result.
    """
    y, final = _given(call, gradients)
    steps = call.time if type(call.time) is int else None  # a symbol under torch.compile
    if call.delay:  # a state affects later steps than the next one
        return find_reached(call.program.key, y, (True,) * len(final), True, steps)
    return find_reached(call.program.key, y, final, call.lengths is not None, steps)


def _given(call: Call, gradients: Sequence[Tensor | None]) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Whether there is a gradient of each y and of each final state."""
    given = tuple(leaf is not None for leaf in gradients)
    return given[: call.program.y], given[call.program.y :]


def _materialized(call: Call) -> Call:
    if all(map(is_materialized, call.tensors)):
        return call
    x, state, params, weights, delay = ([materialize(leaf) for leaf in group] for group in call.groups)
    return dataclasses.replace(call, x=x, state=state, params=params, weights=weights, delay=delay)


@functools.cache
def backend_module(name: str) -> Any:
    """The module with `forward` and `backward` of a compiling backend, imported when first used."""
    return importlib.import_module(MODULES[name])


def _no_autocast(call: Call) -> contextlib.AbstractContextManager[Any]:
    device = call.x[0].device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext()
