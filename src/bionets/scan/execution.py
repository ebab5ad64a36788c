"""Runs a call on a compiling backend: its forward pass, and its backward pass."""

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
from bionets.scan.program.undefined import MOST_STEPS, BackwardPass, find_backward_pass

MODULES = {"cpu": "bionets.scan.cpu.backend", "triton": "bionets.scan.gpu.backend"}


def run_forward(call: Call, backend: str, keep: bool) -> list[Tensor]:
    """y, the final state, and with `keep` what the backward pass needs beside y: the histories, and with delays two
    more tensors."""
    call = _materialized(call)
    with _no_autocast(call):
        y, final, histories = backend_module(backend).forward(call, keep)
    return [*y, *final, *histories]


def run_backward(
    call: Call, backend: str, states: Sequence[Tensor], gradients: Sequence[Tensor | None], needs: Needs
) -> list[Tensor]:
    """The wanted gradients of x side by side in one tensor `[T, B, X, N]`, then those of state, params, weights and
    delay. states: what `run_forward` has kept. gradients: of y and the final state."""
    call = dataclasses.replace(_materialized(call), program=backward_pass_of(call, gradients).program)
    gradients = [leaf if leaf is None else materialize(leaf) for leaf in gradients]
    grad_y, grad_final = gradients[: call.program.y], gradients[call.program.y :]
    with _no_autocast(call):
        found = backend_module(backend).backward(call, list(states), list(grad_y), list(grad_final), needs)
    return [*([] if found.x is None else [found.x]), *found.state, *found.params, *found.weights, *found.delay]


def backward_pass_of(call: Call, gradients: Sequence[Tensor | None]) -> BackwardPass:
    """The backward pass for these gradients of y and the final state, None where a result does not reach the loss."""
    given = tuple(leaf is not None for leaf in gradients)
    y, final = given[: call.program.y], given[call.program.y :]
    if call.delay:  # a state reaches later steps also past the end of the walk
        final = (True,) * len(final)
    return find_backward_pass(call.program.key, y, final, min(call.time, MOST_STEPS), call.lengths is not None)


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
