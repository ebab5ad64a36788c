"""When a shortcut may be taken that only plain eager PyTorch allows."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def is_eager(tensors: Iterable[Tensor]) -> bool:
    """Whether these are plain tensors, at which no mode, transformation or compiler looks."""
    return (
        not torch.compiler.is_compiling()
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._are_functorch_transforms_active()
        and all(type(tensor) is Tensor or type(tensor) is nn.Parameter for tensor in tensors)
    )
