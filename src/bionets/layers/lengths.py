"""Sequences of different lengths in one padded batch; steps past the end of a sequence are ignored."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bionets.scan.arguments import check_lengths, check_reset


def flat_lengths(x: Tensor, lengths: Tensor | None, batch: Sequence[int]) -> Tensor | None:
    """The lengths for x ``[T, B, ...]`` after flattening the axes ``batch`` = (B, ...) of a step into one axis."""
    if lengths is None:
        return None
    if not batch:
        raise ValueError("lengths must be for a batch, [T, B, ...]: leave them out for a single sequence")
    return check_lengths(lengths, x.shape, x.device).repeat_interleave(math.prod(batch[1:]))


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
