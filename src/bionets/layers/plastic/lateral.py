"""Connections without a weight matrix between groups of equal size. Their weights are fixed."""

import math

import torch
from torch import Tensor, nn

from bionets.layers.checks import positive_int
from bionets.layers.plastic.connection import Connection, Size, flat


class LateralConnection(Connection):
    """weight: one number for all neurons, or a tensor ``[size]`` with one weight for each target neuron."""

    def __init__(self, size: int, weight: float | Tensor, *, delay: int | Tensor = 0) -> None:
        super().__init__(delay)
        weights = torch.as_tensor(weight, dtype=torch.get_default_dtype())
        if weights.dim() > 1 or (weights.dim() == 1 and len(weights) != size):
            raise ValueError(
                f"{self._get_name()}: weight must be a number or of shape ({size},), got {tuple(weights.shape)}"
            )
        if not weights.isfinite().all():
            raise ValueError(f"{self._get_name()}: weight must be finite")
        self.weight = nn.Parameter(weights.expand(positive_int("size", size)).clone(), requires_grad=False)

    def check(self, source: Size, target: Size) -> None:
        if math.prod(source) != len(self.weight) or math.prod(target) != len(self.weight):
            raise ValueError(f"{self._get_name()}({len(self.weight)}) does not fit between {source} and {target}")
        self.check_delay(source)

    def extra_repr(self) -> str:
        return str(len(self.weight))

    def current(self) -> Tensor:
        assert self.pre_spikes is not None
        return self.weight * self.gather(flat(self.pre_spikes).to(self.weight.dtype))

    def summed_trace(self) -> Tensor:
        assert self.pre_trace is not None
        return self.gather(flat(self.pre_trace))

    def gather(self, values: Tensor) -> Tensor:
        """For each target neuron, the sum of the values ``[B, size]`` of its sources."""
        raise NotImplementedError


class OneToOne(LateralConnection):
    """One-to-one connections: I_j = w_j s_j."""

    def gather(self, values: Tensor) -> Tensor:
        return values


class LateralInhibition(LateralConnection):
    """Lateral inhibition: I_j = w_j Σ_{i ≠ j} s_i, computed as w_j (Σ_i s_i − s_j)."""

    def gather(self, values: Tensor) -> Tensor:
        return values.sum(1, keepdim=True) - values
