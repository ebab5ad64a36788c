"""Time-invariant sequences: ``x.expand(T, *x.shape)``, whose steps are one place in memory."""

from typing import cast

from torch import Tensor

_MADE_FROM = "_bionets_one_step"


def repeat_over_time(x: Tensor, steps: int) -> Tensor:
    """x ``[B, ...]`` at every step, ``[T, B, ...]``, as a view from which `one_step` gives x back."""
    repeated = x.expand(steps, *x.shape)
    setattr(repeated, _MADE_FROM, x)
    return repeated


def one_step(x: Tensor) -> Tensor | None:
    """The step that a time-invariant x ``[T, B, ...]`` repeats, if it may be used in place of x; otherwise None.

    The gradient with respect to the single step is a sum over time. So a sequence that requires a gradient itself
    counts as time-invariant only if `repeat_over_time` made it, because nothing else asks for its gradient.
    """
    if (made_from := getattr(x, _MADE_FROM, None)) is not None:
        return cast(Tensor, made_from)
    return x[0] if len(x) > 1 and x.stride(0) == 0 and not x.requires_grad else None
