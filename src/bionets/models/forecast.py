"""Closed loop: a sequence is continued from a model's own predictions."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from bionets.models.model import Model

LARGEST = 1000.0  # times the largest number of x, or 1: so far a forecast that diverges goes; its errors stay finite


def forecast(model: "Model", x: Tensor, steps: int) -> Tensor:
    """The ``steps`` values ``[steps, B, I]`` that the model expects after x ``[T, B, I]``: its prediction at the last
    step of x, and then its predictions where each has been fed back as the next input.

    A model with a `chunk` goes on from its state; any other sees the whole sequence again at each step. Values are held
    within 1,000 times the largest number of x, or 1,000.
    """
    limit = LARGEST * max(1.0, float(x.abs().max()))
    values: list[Tensor] = []
    try:
        predictions, state = model.chunk(x, None)
        whole = False
    except ValueError:  # the model cannot go on from a state
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
