"""Max-pooling connections, which transmit one spike of each window."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bionets.layers.plastic.connection import Connection, Size

Pair = int | tuple[int, int]


class Pooling(Connection):
    """weight: the current of a window in which at least one neuron spikes. The trace of a window is its largest trace.

    For ``delay``, an int or a tensor ``[C, H, W]``, see `Connection`.
    """

    def __init__(self, weight: float, delay: int | Tensor) -> None:
        super().__init__(delay)
        if not math.isfinite(weight):
            raise ValueError(f"{self._get_name()}: weight must be finite")
        self.register_buffer("weight", torch.tensor(float(weight)))

    weight: Tensor

    def pool(self, values: Tensor) -> Tensor:
        """The largest value of each window, ``[B, C, H, W]`` to ``[B, C, H', W']``."""
        raise NotImplementedError

    def check(self, source: Size, target: Size) -> None:
        if len(source) != 3:
            raise ValueError(f"{self._get_name()} pools [C, H, W], got {source}")
        pooled = tuple(self.pool(torch.zeros(1, *source)).shape[1:])
        if pooled != target:
            raise ValueError(f"{self._get_name()} takes {source} to {pooled}, not to {target}")
        self.check_delay(source)

    def current(self) -> Tensor:
        assert self.pre_spikes is not None
        return self.weight * self.pool(self.pre_spikes.to(self.weight.dtype))

    def summed_trace(self) -> Tensor:
        assert self.pre_trace is not None
        return self.pool(self.pre_trace)


class MaxPool2d(Pooling):
    """`torch.nn.MaxPool2d` of spikes, with its arguments; see `Pooling`."""

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        ceil_mode: bool = False,
        *,
        weight: float = 1.0,
        delay: int | Tensor = 0,
    ) -> None:
        super().__init__(weight, delay)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def pool(self, values: Tensor) -> Tensor:
        return F.max_pool2d(values, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class AdaptiveMaxPool2d(Pooling):
    """`torch.nn.AdaptiveMaxPool2d` of spikes; see `Pooling`."""

    def __init__(self, output_size: Pair, *, weight: float = 1.0, delay: int | Tensor = 0) -> None:
        super().__init__(weight, delay)
        self.output_size = output_size

    def pool(self, values: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(values, self.output_size)
