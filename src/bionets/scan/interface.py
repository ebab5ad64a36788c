"""The two public functions, `scan` and `dense_scan`, and the choice of a backend."""

import contextlib
import functools
import importlib.util
import itertools
import math
import os
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from bionets.scan.arguments import Arguments, read_arguments
from bionets.scan.compiled import Sensitivities, compiled_scan, require_linear
from bionets.scan.delay import forward_in_time, with_delay
from bionets.scan.eager import has_own_operations, is_exporting, needs_reference
from bionets.scan.graph import UnsupportedStepError
from bionets.scan.online import active
from bionets.scan.reference import reference_scan
from bionets.scan.reset import with_reset
from bionets.scan.tree import Tree
from bionets.scan.warn_once import warn_once

Step = Callable[..., tuple[Tree, Tree]]

BACKENDS = ("auto", "reference", "cpu", "triton")
FAST_BACKEND = {"cpu": "cpu", "cuda": "triton"}


def scan(
    step: Step,
    x: Tree,
    state: Tree,
    params: Tree = (),
    *,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    reset_to: Tree | float | None = None,
    reverse: bool = False,
    checkpoint_every: int = 1,
    backend: str = "auto",
) -> tuple[Tree, Tree]:
    """Run an elementwise recurrence over all time steps.

        y[t], state[t + 1] = step(x[t], state[t], params)

    Args:
        step: `step(x, state, params) -> (y, new_state)`, one time step: pure, elementwise, torch operations only.
            `y` is a tensor or a tuple of tensors, and may be one of the new states.
        x: tensor, or (named) tuple, list or dict of tensors, nested or not, each `[T, B, *N]`.
        state: the initial state, a tree of tensors like x, each `[B, *N]` (or broadcastable to it).
        params: a tree of tensors like x, each scalar or `[*N]` (or broadcastable to it).
        lengths: `[B]` integers. After the end of a sequence, its state does not change and its y is zero.
        reset: `[T, B]` bools. Where true, the state before step t is `reset_to`, so that a sequence can hold several
            episodes or documents. "Before" refers to the order in which the steps run. Values after the end of a
            sequence have no effect.
        reset_to: the state after a reset, a tree like `state`, or one number for all states. Default: `state`.
        reverse: run backwards in time; with `lengths`, each sequence starts at its own last element.
        checkpoint_every: save every K-th state for the backward pass and recompute the others.
        backend: "auto" (by device), "reference", "cpu" or "triton" (CUDA). A named backend raises an error if it
            cannot run the scan; "auto" then uses the reference backend and warns once.

    Returns:
        y, each tensor `[T, B, *N]` with the dtype of x, and the final state, each tensor `[B, *N]` with the dtype of
        the initial state. Half precision is computed in float32; if x, state, params or a weight is float64, everything
        is computed in float64. `reset_to`, `lags` and `past` are converted to the dtype of the computation.

    Raises:
        ValueError: if shapes, lengths, reset or an option are invalid.
        TypeError: if an argument or a result of the step is neither a tensor nor a tree of tensors.
    """
    _check_steps((step,))
    arguments = read_arguments(x, state, params, (), lengths, reverse, checkpoint_every)
    return _run((step,), arguments, reset, reset_to, backend)


def dense_scan(
    step: Step | tuple[Step, ...],
    x: Tree,
    state: Tree,
    params: Tree,
    weight: Tensor | tuple[Tensor, ...],
    *,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    reset_to: Tree | float | None = None,
    reverse: bool = False,
    checkpoint_every: int = 1,
    backend: str = "auto",
    pad_weights: bool = False,
    lags: Tensor | None = None,
    past: Tensor | None = None,
) -> tuple[Tree, Tree]:
    """Run a recurrence with a recurrent weight matrix over all time steps.

        recurrent = first(state[t]) @ weight.T
        y[t], state[t + 1] = step(x[t], recurrent, state[t], params)

    `first(state)` is the first tensor of the state, `[B, H]`, and `weight` is `[G * H, H]`. With G = 1, `recurrent` is
    one tensor `[B, H]`; otherwise it is a tuple of G such tensors, one for each block of H rows of the weight. The step
    itself is therefore elementwise.

    **Stages.** If a step needs the matrix product of a value that it computes, split it there into a tuple of steps,
    the stages, with a tuple of weights. Stage k receives `recurrent = first(state) @ weight_k.T`, where `state` is the
    state returned by the previous stage (its structure may differ from stage to stage). All stages except the last
    return `(None, state)`. The state of the last stage has the structure of the initial state and is the state of the
    next time step. Example, a peephole LSTM:

        def gates(x, recurrent, state, params):          # weight_hh, 4H x H: recurrent is four tensors
            h, c, peep_f, peep_i = state
            f, i = sigmoid(x.f + recurrent[0] + peep_f), sigmoid(x.i + recurrent[1] + peep_i)
            return None, (f * c + i * tanh(x.g + recurrent[2]), x.o + recurrent[3])

        def output(x, recurrent, state, params):         # weight_ch, 3H x H: the products of the new cell
            c, o = state
            h = sigmoid(o + recurrent[2]) * tanh(c)
            return h, (h, c, recurrent[0], recurrent[1])

        dense_scan((gates, output), x, (h, c, c @ weight_cf.T, c @ weight_ci.T), (), (weight_hh, weight_ch))

    **Delays.** With `lags`, the recurrent input of the first stage is a sum over the first states of the last L steps:

        recurrent = (sum over d < L of lags[d] * first(state[t - d])) @ weight.T

    `lags[d, j] = 1` delays unit j by d steps in addition to the one step of every recurrence. A delay between two
    numbers of steps is interpolated by several lags, whose gradients give the gradient of the delay. The first state
    must be y, or one of its tensors.

    With a weight `[L, G * H, H]`, each connection has its own delay: recurrent = sum over d of first(state[t - d]) @
    weight[d].T. This form runs step by step on the reference backend; its cost is that of one product of L * H columns
    in each step.

    Args:
        step: one step, or a tuple of stages.
        x: as in `scan`, each tensor `[T, B, H]`.
        state: as in `scan`, each tensor `[B, H]`.
        params: as in `scan`.
        weight: `[G * H, H]`, or one such matrix for each stage; the first matrix may also be `[L, G * H, H]`.
        pad_weights: allow weights with fewer columns than H, and with fewer rows than H in their last block. Missing
            rows and columns count as zeros, and cost nothing on the CPU. H is the width of the widest stage.
        lags: `[L, H]`, the weight of each delay. Default: no delays. Cannot be combined with `reset`.
        past: `[L - 1, B, H]`, the first states before the initial state, oldest first. Default: zeros. To continue
            after a piece of a sequence, pass `torch.cat((past, first[None], y))[-L:-1]`, where `first` is the initial
            first state.

    The other arguments, the results and the errors are those of `scan`.
    """
    stages = step if isinstance(step, tuple) else (step,)
    _check_steps(stages)
    weights = weight if isinstance(weight, tuple) else (weight,)
    if not all(isinstance(each, Tensor) for each in weights):
        raise TypeError(f"weight must be a tensor or a tuple of tensors, got {type(weight).__name__}")
    if weights and weights[0].dim() == 3 and len(weights[0]):
        if lags is not None:
            raise ValueError("dense_scan takes lags or a weight for each lag, not both")
        lags, weights = weights[0], (weights[0][0], *weights[1:])
    if past is not None and lags is None:
        raise ValueError("past holds the first states before the initial state for lags, which are not given")
    if len(stages) != len(weights):
        raise ValueError(
            f"dense_scan needs one weight for each stage, got {len(stages)} stages and {len(weights)} weights"
        )
    arguments = read_arguments(x, state, params, weights, lengths, reverse, checkpoint_every, pad_weights)
    if lags is not None:
        if reset is not None:
            raise ValueError("dense_scan has no reset together with lags: run the pieces one by one")
        arguments, restore = forward_in_time(with_delay(arguments, lags, past))
        y, state = _run(stages, arguments, None, None, backend)
        return restore(y), state
    return _run(stages, arguments, reset, reset_to, backend)


def _check_steps(stages: tuple[Step, ...]) -> None:
    for stage in stages:
        if not callable(stage):
            raise TypeError(f"step must be a function or, in dense_scan, a tuple of functions, got {stage!r}")


def _run(
    stages: tuple[Step, ...],
    arguments: Arguments,
    reset: Tensor | None,
    reset_to: Tree | float | None,
    backend: str,
) -> tuple[Tree, Tree]:
    online = active()
    if online is not None and (reset is not None or arguments.delay):
        raise ValueError("online gradients follow neither resets within a sequence nor delays: leave them out")
    if reset is not None:
        stages, arguments = with_reset(stages, arguments, reset, reset_to)
    if online is None:
        return _run_on(backend, stages, arguments)
    return online.run(stages, arguments, functools.partial(_run_on, backend))


def check_backend(backend: str) -> None:
    """Raise ValueError if there is no backend of this name."""
    if backend not in (*BACKENDS, "numba"):  # the former name of "cpu"
        raise ValueError(f"unknown backend {backend!r}; choose one of {', '.join(BACKENDS)}")


def _run_on(
    backend: str, stages: tuple[Step, ...], arguments: Arguments, sensitivities: Sensitivities | None = None
) -> tuple[Tree, Tree]:
    if backend == "numba":
        warnings.warn("backend 'numba' is now called 'cpu'", DeprecationWarning, stacklevel=3)
        backend = "cpu"
    check_backend(backend)
    chosen = _choose(arguments, backend)
    layout = arguments.layout
    if arguments.delay and arguments.delay[0].dim() == 3:
        if backend not in ("auto", "reference"):
            raise ValueError(f"backend {backend!r} has no weight for each lag; use backend='reference' or 'auto'")
        chosen = "reference"
    if chosen != "reference" and (transform := needs_reference()):
        if backend != "auto":
            raise ValueError(f"backend {backend!r} does not support {transform}; use backend='reference' or 'auto'")
        warn_once(f"scan runs on the slow reference backend, the only one that supports {transform}", 4)
        chosen = "reference"
    if chosen != "reference" and layout.time and layout.batch and math.prod(layout.shape):
        try:
            groups = (arguments.x, arguments.state, arguments.params, arguments.weights, arguments.delay)
            for leaf in itertools.chain(*groups):
                if has_own_operations(leaf):
                    raise UnsupportedStepError(f"an argument is a {type(leaf).__name__}, with operations of its own")
            return compiled_scan(stages, arguments, chosen, sensitivities)
        except UnsupportedStepError as error:
            if backend != "auto":
                raise
            warn_once(f"scan runs on the slow reference backend: {error}", 4)
    if sensitivities is not None:
        require_linear(stages, arguments)
        arguments = sensitivities.expand(arguments)
    kind = arguments.device.type  # torch.export cannot load a context that changes nothing
    autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    with torch.autocast(kind, enabled=False) if autocast else contextlib.nullcontext():
        return reference_scan(stages, arguments)


def _choose(arguments: Arguments, backend: str) -> str:
    device = arguments.device.type
    if backend == "auto" and is_exporting():
        return "reference"  # the program must run without the operators of bionets
    if backend == "auto":
        chosen = default_backend(device)
        if chosen != FAST_BACKEND.get(device, "reference"):
            warn_once("scan runs on the slow reference backend: triton is not installed", 4)
        return chosen
    needed = next((kind for kind, name in FAST_BACKEND.items() if name == backend), device)
    if needed != device and not (backend == "triton" and os.environ.get("TRITON_INTERPRET") == "1"):
        raise ValueError(f"backend {backend!r} needs tensors on {needed}, got {device}; use backend='auto'")
    return backend


def default_backend(device: str) -> str:
    """The backend that "auto" selects for a type of device."""
    chosen = FAST_BACKEND.get(device, "reference")
    return "reference" if chosen == "triton" and importlib.util.find_spec("triton") is None else chosen
