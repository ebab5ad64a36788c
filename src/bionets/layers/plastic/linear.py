"""Fully connected synapses."""

import math

import torch
from torch import Tensor

from bionets.layers.checks import positive_int
from bionets.layers.plastic.connection import Size, flat
from bionets.layers.plastic.weighted import Bounds, WeightedConnection


class Linear(WeightedConnection):
    """Fully connected synapses: I_j = Σ_i w_ij s_i, with ``weight`` ``[in_features, out_features]``.

    Groups of more than one dimension are flattened. For the options see `WeightedConnection`. ``delay`` is an int or a
    tensor with the shape of the weights, see `Connection`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        weight: Tensor | None = None,
        bounds: Bounds = (0.0, 1.0),
        norm: float | None = None,
        delay: int | Tensor = 0,
    ) -> None:
        shape = positive_int("in_features", in_features), positive_int("out_features", out_features)
        super().__init__(shape, weight, bounds, norm, delay)

    def check(self, source: Size, target: Size) -> None:
        sizes = math.prod(source), math.prod(target)
        if sizes != tuple(self.weight.shape):
            raise ValueError(f"Linear({self.extra_repr()}) does not fit between {source} and {target}")

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.weight.shape))

    def as_matrix(self, values: Tensor) -> Tensor:
        return values

    def rows(self, values: Tensor) -> Tensor:
        return flat(values).unsqueeze(2).to(self.weight.dtype)

    def current(self) -> Tensor:
        assert self.pre_spikes is not None
        spikes = self.pre_spikes.to(self.weight.dtype)
        if self.delays_each_synapse:
            return torch.einsum("brol,ro->bo", spikes, self.weight)
        return flat(spikes) @ self.weight

    def summed_trace(self) -> Tensor:
        assert self.pre_trace is not None
        if self.delays_each_synapse:
            return self.pre_trace.sum((1, 3))
        return flat(self.pre_trace).sum(1, keepdim=True).expand(-1, self.weight.shape[1])
