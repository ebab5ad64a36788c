"""Closed-loop forecasts: continuation of a sequence from a model's own predictions."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from bionets.models.model import Model

LARGEST = 1000.0  # bound of a forecast, times the largest number of x, or 1: errors stay finite


def forecast(model: "Model", x: Tensor, steps: int) -> Tensor:
    """Predict the ``steps`` values ``[steps, B, I]`` after x ``[T, B, I]``: the prediction at the last step of x, and
    then the predictions with the previous prediction as input.

    A model with a `chunk` continues from its state; other models process the whole sequence again at each step.
    Absolute values are limited to 1,000 times the largest number of x, or to 1,000.
    """
    limit = LARGEST * max(1.0, float(x.abs().max()))
    values: list[Tensor] = []
    try:
        predictions, state = model.chunk(x, None)
        whole = False
    except ValueError:  # the model cannot continue from a state
        predictions, state, whole = model(x), None, True
    for _ in range(steps):
        values.append(predictions[-1:].clamp(-limit, limit))
        if len(values) == steps:
            break
        if whole:
            predictions = model(torch.cat([x, *values]))
        else:
            predictions, state = model.chunk(values[-1], state)
    return torch.cat(values)
