"""Replacement of raw parameters by their constrained values for inference, and its inverse."""

from typing import Any

from bionets.layers.find_modules import find_modules
from bionets.layers.spiking.constraints import ConstrainedParameters


def freeze(model: Any) -> None:
    """Replace each raw decay and threshold in the model by a buffer with its constrained value: no sigmoid, no softplus
    and no gradient. Weights, scales and states do not change. A frozen model may be moved, copied and saved; freezing
    it again has no effect.
    """
    for _, layer in find_modules(model, ConstrainedParameters):
        layer.freeze()


def unfreeze(model: Any) -> None:
    """Undo `freeze`: restore the same raw parameter objects, in their order, with their values, gradients and
    ``requires_grad``, so that an existing optimizer can continue."""
    for _, layer in find_modules(model, ConstrainedParameters):
        layer.unfreeze()
