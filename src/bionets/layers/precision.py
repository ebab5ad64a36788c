"""Conversion to at least float32, because half precision would round a decay of 0.999 to 1."""

import torch
from torch import Tensor


def constant(value: float, like: Tensor) -> Tensor:
    """A scalar tensor on the device of `like`, in its dtype or in float32 if that is wider."""
    return torch.full((), value, dtype=torch.promote_types(like.dtype, torch.float32), device=like.device)


def at_least_float32(x: Tensor) -> Tensor:
    """x in its dtype or in float32 if that is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
