"""A model written for one time step, run over a whole sequence."""

import torch
from torch import Tensor, nn

from bionets.layers.stateful import StatefulModule, stateful_modules

__all__ = ["unroll"]


def unroll(model: nn.Module, x: Tensor) -> Tensor:
    """Run a model over x ``[T, B, ...]``, layer by layer: the numbers of calling it step by step, much faster.

    Layers without a state see all steps at once, as a batch of T·B; layers that keep one scan over time, from their
    kept state. A container other than ``nn.Sequential`` that holds stateful layers is called step by step, since only
    it knows the way through them.
    """
    if isinstance(model, StatefulModule):
        return model(x, whole_sequence=True)
    if next(stateful_modules(model), None) is None:
        return model(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    if type(model).forward is nn.Sequential.forward:
        for layer in model.children():
            x = unroll(layer, x)
        return x
    return torch.stack([model(step) for step in x])
