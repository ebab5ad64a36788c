"""Constrained values instead of raw parameters, for inference; and back."""

from typing import Any

from bionets.layers.find_modules import find_modules
from bionets.layers.spiking.constraints import ConstrainedParameters


def freeze(model: Any) -> None:
    """Replace each raw decay and threshold in the model by its constrained value, a buffer: no sigmoid, no
    softplus, no gradient to them. All else (weights, scales, states) stays as it is. A frozen model may be moved,
    copied and saved; freezing it again changes nothing.
    """
    for _, layer in find_modules(model, ConstrainedParameters):
        layer.freeze()


def unfreeze(model: Any) -> None:
    """Undo `freeze`: the very same raw parameters are back, in their order, with their bits, gradients and
    ``requires_grad``, so that an optimiser which holds them goes on."""
    for _, layer in find_modules(model, ConstrainedParameters):
        layer.unfreeze()
