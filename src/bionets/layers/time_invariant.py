"""Time-invariant sequences: ``x.expand(T, *x.shape)``, whose steps share memory."""

from typing import cast

from torch import Tensor

_MADE_FROM = "_bionets_one_step"


def repeat_over_time(x: Tensor, steps: int) -> Tensor:
    """Repeat x ``[B, ...]`` at every step, as a view ``[T, B, ...]`` from which `one_step` recovers x."""
    repeated = x.expand(steps, *x.shape)
    setattr(repeated, _MADE_FROM, x)
    return repeated


def one_step(x: Tensor) -> Tensor | None:
    """The step that a time-invariant x ``[T, B, ...]`` repeats, if it can replace x; otherwise None.

    The gradient with respect to the single step is a sum over time. A sequence that itself requires a gradient is
    therefore treated as time-invariant only if it was made by `repeat_over_time`, because no other code needs its
    gradient.
    """
    if (made_from := getattr(x, _MADE_FROM, None)) is not None:
        return cast(Tensor, made_from)
    return x[0] if len(x) > 1 and x.stride(0) == 0 and not x.requires_grad else None
