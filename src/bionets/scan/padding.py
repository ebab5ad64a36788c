"""Zeros at the end of tensors."""

import torch
from torch import Tensor


def pad(tensor: Tensor, *shape: int) -> Tensor:
    """Zeros after the end of each dimension, up to ``shape``."""
    missing = [wanted - got for wanted, got in zip(shape, tensor.shape, strict=True)]
    if not any(missing):
        return tensor
    return torch.constant_pad_nd(tensor, [end for more in reversed(missing) for end in (0, more)])
