"""Layers whose neurons have positions: a linear layer and convolutions with learnable positions."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from bionets.layers.checks import positive_int


class SpatialLayer(nn.Module):
    """A layer with ``positions`` ``[out, dim]`` of its neurons, or of its channels if it is a convolution.

    Positions do not change the output of a layer; `spatial_cost` relates them to the weights. They start at N(0, 1).

    Source: Wołczyk, Tabor, Śmieja and Maszke, "Biologically-Inspired Spatial Neural Networks", arXiv 1910.02776.
    """

    weight: Tensor
    positions: nn.Parameter
    no_weight_decay = ("positions",)

    def place(self, dim: int) -> None:
        """Give every neuron a position in ``dim`` dimensions."""
        self.positions = nn.Parameter(torch.randn(len(self.weight), positive_int("dim", dim)).to(self.weight))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, dim={self.positions.shape[1]}"


class SpatialLinear(SpatialLayer, nn.Linear):
    """`torch.nn.Linear` whose neurons have positions ``[out_features, dim]``; see `SpatialLayer`."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dim: int = 2) -> None:
        super().__init__(positive_int("in_features", in_features), positive_int("out_features", out_features), bias)
        self.place(dim)


class _SpatialConv(SpatialLayer):
    """The constructor of the spatial convolutions; their other base class is a convolution of torch."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        dim: int = 2,
        groups: int = 1,
    ) -> None:
        channels = positive_int("in_channels", in_channels), positive_int("out_channels", out_channels)
        # The next class is torch's convolution.
        super().__init__(
            *channels, kernel_size, stride, padding, dilation, groups=groups, bias=bias, padding_mode=padding_mode
        )
        self.place(dim)


class SpatialConv1d(_SpatialConv, nn.Conv1d):
    """`torch.nn.Conv1d` whose output channels have positions ``[out_channels, dim]``; see `SpatialLayer`."""


class SpatialConv2d(_SpatialConv, nn.Conv2d):
    """`torch.nn.Conv2d` whose output channels have positions ``[out_channels, dim]``; see `SpatialLayer`."""


class SpatialConv3d(_SpatialConv, nn.Conv3d):
    """`torch.nn.Conv3d` whose output channels have positions ``[out_channels, dim]``; see `SpatialLayer`."""


def spatial_layers(model: nn.Module) -> list[SpatialLayer]:
    """The spatial layers of a model, in the order in which they were registered."""
    return [module for module in model.modules() if isinstance(module, SpatialLayer)]
