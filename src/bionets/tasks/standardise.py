"""The statistics by which data are standardised."""

import torch
from torch import Tensor


def mean_and_deviation(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over some dimensions, which are kept with size 1.

    Of what is constant these are the value itself and 1, so that it becomes 0: a mean that is rounded, over a deviation
    of almost 0, would make it a large number.
    """
    lowest, highest = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
    constant = lowest == highest
    deviation = x.std(dims, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return torch.where(constant, highest, x.mean(dims, keepdim=True)), torch.where(constant, 1.0, deviation)
