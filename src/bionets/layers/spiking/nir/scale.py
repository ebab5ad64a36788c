"""Multiplication by fixed or learned factors, one for each element."""

import torch
from torch import Tensor, nn


class Scale(nn.Module):
    """y = scale∘x, where ``scale`` has the shape of a sample (or broadcasts to it)."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.as_tensor(scale).clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x
