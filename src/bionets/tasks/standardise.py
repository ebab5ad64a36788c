"""The statistics by which data are standardised."""

import torch
from torch import Tensor


def mean_and_deviation(x: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over some dimensions, which are kept with size 1.

    For constant values, the mean is this value and the deviation is 1, so that standardised values are exactly 0. With
    a rounded mean and a deviation of almost 0, they could be large numbers.
    """
    lowest, highest = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
    constant = lowest == highest
    deviation = x.std(dims, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
    return torch.where(constant, highest, x.mean(dims, keepdim=True)), torch.where(constant, 1.0, deviation)
