"""Checks of the arguments and inputs of layers."""

import torch
from torch import Tensor


def positive_int(name: str, value: int) -> int:
    """Return `value` if it is a positive integer; otherwise raise TypeError or ValueError with its name."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if value <= 0:
        raise ValueError(f"{name} must be greater than zero, got {value}")
    return value


def require_dtype(name: str, x: Tensor, weight: Tensor) -> None:
    """Raise ValueError with the name of the layer if the input does not have the dtype of its weights and autocast does
    not convert it."""
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise ValueError(f"{name}: input is {x.dtype} but the weights are {weight.dtype}; convert one with .to()")
