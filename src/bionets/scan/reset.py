"""Resets within a sequence: the new state of the last stage is replaced at the steps before a reset."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bionets.scan.arguments import Arguments, broadcast, check_reset
from bionets.scan.tree import Tree, flatten, unflatten

Stages = tuple[Callable[..., Any], ...]


def with_reset(
    stages: Stages, arguments: Arguments, reset: Tensor, reset_to: Tree | float | None
) -> tuple[Stages, Arguments]:
    """Stages and arguments of the same scan with resets.

    A reset before a step is applied after the previous step, so that the matrix product receives the state after the
    reset. The mask and the state after a reset are added to x; the state is expanded without a copy for each step.
    """
    time, batch = arguments.layout.time, arguments.layout.batch
    reset = check_reset(reset, (time, batch), arguments.device)
    if arguments.lengths is not None:  # the state after the last step of a sequence is kept
        reset = reset & (torch.arange(time, device=reset.device).unsqueeze(1) < arguments.lengths)
    inner = (1,) * len(arguments.layout.shape)
    none = reset.new_zeros(min(time, 1), batch)
    after = torch.cat((none, reset[:-1]) if arguments.reverse else (reset[1:], none)).view(time, batch, *inner)
    state = arguments.state
    start: tuple[Tensor, ...] = ()
    number = float(reset_to) if isinstance(reset_to, (int, float)) else None
    if number is None:
        start = _start(arguments, reset_to)
    if reset_to is not None and time:
        first = _before_first_step(arguments, reset).view(batch, *inner)
        fresh: tuple[Tensor | float, ...] = start or (number or 0.0,) * len(state)
        carry = arguments.layout.carry_dtype
        dtypes = [old.dtype if old.is_floating_point() else carry for old in state]
        state = [torch.where(first, new, old).to(dtype) for new, old, dtype in zip(fresh, state, dtypes, strict=True)]
    own = unflatten(arguments.x_tree, arguments.x)
    over_time = tuple(leaf.expand(time, *leaf.shape) for leaf in start)
    x, x_tree = flatten((own, after, over_time), "x")
    *earlier, last = stages
    wrapped = (
        *(partial(with_own_input, stage=stage) for stage in earlier),
        partial(reset_after, stage=last, number=number),
    )
    return wrapped, replace(arguments, x=x, x_tree=x_tree, state=state)


def _start(arguments: Arguments, reset_to: Tree | None) -> tuple[Tensor, ...]:
    """The state after a reset, each tensor `[B, *N]`."""
    leaves, tree = (arguments.state, arguments.state_tree) if reset_to is None else flatten(reset_to, "reset_to")
    if tree != arguments.state_tree:
        raise ValueError(f"reset_to must have the structure of the state, {arguments.state_tree}, got {tree}")
    shape = arguments.state_shape
    if any(broadcast([tuple(leaf.shape), shape], "reset_to and state") != shape for leaf in leaves):
        raise ValueError(f"reset_to must be of shape {list(shape)}, as the state is")
    return tuple(leaf.to(arguments.device, arguments.layout.carry_dtype).expand(shape).contiguous() for leaf in leaves)


def _before_first_step(arguments: Arguments, reset: Tensor) -> Tensor:
    """Whether each sequence is reset before the first of its steps, `[B]`."""
    if not arguments.reverse:
        return reset[0]
    if arguments.lengths is None:
        return reset[-1]
    last = (arguments.lengths - 1).clamp(min=0)
    return reset.gather(0, last.unsqueeze(0)).squeeze(0)


def with_own_input(x: Any, *arguments: Any, stage: Callable[..., Any]) -> Any:
    """A stage with its own part of x."""
    return stage(x[0], *arguments)


def reset_after(x: Any, *arguments: Any, stage: Callable[..., Any], number: float | None) -> Any:
    """The last stage; if a reset follows, its new state is the state after the reset."""
    own, after, start = x
    y, state = stage(own, *arguments)
    leaves, tree = flatten(state, "the new state")
    fresh = start if number is None else (number,) * len(leaves)
    return y, unflatten(tree, [torch.where(after > 0, new, old) for new, old in zip(fresh, leaves, strict=True)])
