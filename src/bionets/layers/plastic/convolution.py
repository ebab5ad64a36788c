"""Convolutional connections."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.utils import _pair

from bionets.layers.checks import positive_int
from bionets.layers.plastic.connection import Size
from bionets.layers.plastic.weighted import Bounds, WeightedConnection

Pair = int | tuple[int, int]


def integer_pair(name: str, value: Pair, lowest: int = 1) -> tuple[int, int]:
    """The value for height and width. Raises ValueError if it is not an integer or a pair of integers, or too low."""
    pair = tuple(_pair(value))
    if len(pair) != 2 or not all(isinstance(each, int) for each in pair):
        raise ValueError(f"{name} must be an integer or a pair of integers, got {value!r}")
    if min(pair) < lowest:
        raise ValueError(f"{name} must be at least {lowest}, got {value!r}")
    return pair


class Conv2d(WeightedConnection):
    """The convolution of `torch.nn.Conv2d`, without bias: ``[C, H, W]`` to ``[O, H', W']``, weight ``[O, C, *kernel]``.

    The change of a weight is summed over all positions that share it, and averaged over the batch. For the options see
    `WeightedConnection`. ``delay`` is an int or a tensor with the shape of the weights. Every synapse at every position
    has its own spike in flight.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        weight: Tensor | None = None,
        bounds: Bounds = (0.0, 1.0),
        norm: float | None = None,
        delay: int | Tensor = 0,
    ) -> None:
        channels = positive_int("out_channels", out_channels), positive_int("in_channels", in_channels)
        super().__init__((*channels, *integer_pair("kernel_size", kernel_size)), weight, bounds, norm, delay)
        self.stride, self.padding = integer_pair("stride", stride), integer_pair("padding", padding, 0)
        self.dilation = integer_pair("dilation", dilation)

    def check(self, source: Size, target: Size) -> None:
        channels, kernel = self.weight.shape[1], self.weight.shape[2:]
        if len(source) == 3 and source[0] == channels and target == (len(self.weight), *self._places(source)):
            return
        shape = f"{tuple(self.weight.shape)}, stride {self.stride}, padding {self.padding}, dilation {self.dilation}"
        needs = f"[{channels}, H, W] with H, W ≥ {tuple(kernel)}"
        if len(source) == 3 and source[0] == channels:
            needs = f"{source} to {(len(self.weight), *self._places(source))}"
        raise ValueError(f"Conv2d of weights {shape} does not fit between {source} and {target}: it takes {needs}")

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}"

    def as_matrix(self, values: Tensor) -> Tensor:
        return values.flatten(1).T

    def rows(self, values: Tensor) -> Tensor:
        kernel: tuple[int, ...] = tuple(self.weight.shape[2:])
        return F.unfold(values.to(self.weight.dtype), kernel, self.dilation, self.padding, self.stride)

    def current(self) -> Tensor:
        assert self.pre_spikes is not None
        spikes = self.pre_spikes.to(self.weight.dtype)
        if self.delays_each_synapse:
            return torch.einsum("brol,ro->bol", spikes, self.matrix)
        return self._convolve(spikes, self.weight)

    def summed_trace(self) -> Tensor:
        assert self.pre_trace is not None
        if self.delays_each_synapse:
            return self.pre_trace.sum(1)
        summed = self._convolve(self.pre_trace, torch.ones_like(self.weight[:1]))
        return summed.expand(-1, len(self.weight), -1, -1)

    def _convolve(self, values: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(values, weight, None, self.stride, self.padding, self.dilation)

    def _places(self, source: Size) -> Size:
        sizes = zip(source[1:], self.weight.shape[2:], self.stride, self.padding, self.dilation, strict=True)
        return tuple((size + 2 * pad - gap * (kernel - 1) - 1) // step + 1 for size, kernel, step, pad, gap in sizes)
