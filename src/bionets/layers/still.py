"""Sequences that are the same at every step and say so: ``x.expand(T, *x.shape)``."""

from torch import Tensor

__all__ = ["is_still", "one_step"]


def is_still(x: Tensor) -> bool:
    """Whether all steps of x ``[T, ...]``, of which there are several, are one place in memory."""
    return len(x) > 1 and x.stride(0) == 0


def one_step(x: Tensor) -> Tensor:
    """x[0] of a still x: what was expanded, so that the backward pass need not fill and sum T steps of zeros."""
    base = x._base
    if base is None or base.data_ptr() != x.data_ptr() or (base.shape, base.stride()) != (x.shape[1:], x.stride()[1:]):
        return x[0]
    return base
