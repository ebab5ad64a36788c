"""Sequences of different lengths in one padded batch; steps past the end of a sequence are ignored."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bionets.scan.eager import is_eager


def check_lengths(lengths: Tensor, steps: Sequence[int], device: torch.device) -> Tensor:
    """Convert lengths to int64 on this device, for a sequence whose first axes are ``steps`` = (T, B, ...).

    Raises:
        TypeError: the lengths are not a tensor.
        ValueError: the lengths are not B integers from 0 to T. (On a GPU the range is not checked, to avoid a
            synchronisation.)
    """
    if not isinstance(lengths, Tensor):
        raise TypeError(f"lengths must be a tensor of integers, got a {type(lengths).__name__}")
    if len(steps) < 2 or tuple(lengths.shape) != (steps[1],):
        expected = f"[{steps[1]}] integers" if len(steps) > 1 else "for a batch, [T, B, ...]"
        raise ValueError(f"lengths must be {expected}, got shape {list(lengths.shape)}")
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        raise ValueError(f"lengths must be integers, got {lengths.dtype}")
    if is_eager((lengths,)) and lengths.device.type == "cpu" and len(lengths):
        shortest, longest = int(lengths.min()), int(lengths.max())
        if shortest < 0 or longest > steps[0]:
            raise ValueError(f"lengths must lie between 0 and T = {steps[0]}, got {shortest} to {longest}")
    return lengths.to(device=device, dtype=torch.int64)


def flat_lengths(x: Tensor, lengths: Tensor | None, batch: Sequence[int]) -> Tensor | None:
    """The lengths for x ``[T, B, ...]`` after flattening the axes ``batch`` = (B, ...) of a step into one axis."""
    if lengths is None:
        return None
    if not batch:
        raise ValueError("lengths must be for a batch, [T, B, ...]: leave them out for a single sequence")
    return check_lengths(lengths, x.shape, x.device).repeat_interleave(math.prod(batch[1:]))


def check_reset(reset: Tensor, steps: Sequence[int], device: torch.device) -> Tensor:
    """Move the reset mask to this device, for a sequence whose first axes are ``steps`` = (T, B, ...).

    Raises:
        TypeError: the mask is not a tensor.
        ValueError: the mask is not a bool tensor ``[T, B]``.
    """
    if not isinstance(reset, Tensor):
        raise TypeError(f"reset must be a tensor of bools, got a {type(reset).__name__}")
    if len(steps) < 2 or reset.dtype != torch.bool or tuple(reset.shape) != tuple(steps[:2]):
        expected = f"[{steps[0]}, {steps[1]}] bools" if len(steps) > 1 else "for a batch, [T, B, ...]"
        raise ValueError(f"reset must be {expected}, got {list(reset.shape)} {reset.dtype}")
    return reset.to(device)


def flat_reset(x: Tensor, reset: Tensor | None, batch: Sequence[int]) -> Tensor | None:
    """The reset mask for x ``[T, B, ...]`` after flattening the axes ``batch`` = (B, ...) of a step into one axis."""
    if reset is None:
        return None
    if not batch:
        raise ValueError("reset must be for a batch, [T, B, ...]: leave it out for a single sequence")
    return check_reset(reset, x.shape, x.device).repeat_interleave(math.prod(batch[1:]), 1)


def valid_steps(lengths: Tensor, time: int) -> Tensor:
    """The mask of valid steps, ``[T, B]``: t < lengths."""
    return torch.arange(time, device=lengths.device).unsqueeze(1) < lengths


def zero_past_end(x: Tensor, lengths: Tensor) -> Tensor:
    """Return x ``[T, B, ...]`` with zeros past the end of each sequence, also in place of NaN; the gradient there is
    zero."""
    valid = valid_steps(lengths, len(x))
    return torch.where(valid.view(*valid.shape, *(1,) * (x.dim() - 2)), x, x.new_zeros(()))
