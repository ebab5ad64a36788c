"""Connections with weights that learning rules change."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from bionets.layers.plastic.connection import Connection

Bounds = tuple[float, float]


class WeightedConnection(Connection):
    """A connection that a learning rule can change.

    For rules, the synapses of every such connection have the same layout: ``R`` rows (the inputs of one neuron), ``O``
    outputs (neurons or channels, each with its own weights) and ``L`` positions that share weights (1 for `Linear`):
    weights ``[R, O]``, presynaptic values ``[B, R, L]`` (``[B, R, O, L]`` if every synapse has its own delay),
    postsynaptic values ``[B, O, L]``.

    weight: the initial weights, whole numbers in the default dtype; None: uniform between the bounds
        (0 in place of an infinite lower bound, 1 in place of an infinite upper bound).
    bounds: the smallest and the largest weight, for rules and for `normalise`.
    norm: the sum of the absolute weights of each neuron after `normalise`.
    """

    weight: nn.Parameter

    def __init__(
        self, shape: tuple[int, ...], weight: Tensor | None, bounds: Bounds, norm: float | None, delay: int | Tensor
    ) -> None:
        super().__init__(delay)
        low, high = bounds
        if not low < high:
            raise ValueError(f"{self._get_name()}: the lower bound must be below the upper one, got {bounds}")
        if norm is not None and not norm > 0:
            raise ValueError(f"{self._get_name()}: norm must be above zero, got {norm}")
        if norm == math.inf:
            raise ValueError(f"{self._get_name()}: norm must be finite; None for no normalisation")
        if weight is None:
            start, end = low if math.isfinite(low) else 0, high if math.isfinite(high) else 1
            if not start < end:
                raise ValueError(f"{self._get_name()}: bounds {bounds} have no default weights: give weight=...")
            weight = torch.empty(shape).uniform_(start, end)
        elif not isinstance(weight, Tensor):
            raise TypeError(f"{self._get_name()}: weight must be a tensor, got a {type(weight).__name__}")
        elif weight.is_complex():
            raise TypeError(f"{self._get_name()}: weight must be real, got {weight.dtype}")
        elif not weight.is_floating_point():
            weight = weight.to(torch.get_default_dtype())
        for name, values in (("weight", weight), ("delay", self.delay)):
            if values is not None and tuple(values.shape) != shape and not (name == "delay" and values.dim() == 0):
                raise ValueError(f"{self._get_name()}: {name} must be of shape {shape}, got {tuple(values.shape)}")
        if not (weight.isfinite() & (weight >= low) & (weight <= high)).all():
            raise ValueError(f"{self._get_name()}: the initial weights must lie within the bounds {low} to {high}")
        self.bounds = (float(low), float(high))
        self.norm = norm
        self.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)

    @property
    def matrix(self) -> Tensor:
        """The weights as ``[R, O]``; a view."""
        if self.weight.dim() > 2:  # for kernels in another memory layout, it would be a copy
            self.weight.data = self.weight.data.contiguous()
        return self.as_matrix(self.weight.data)

    @property
    def delays_each_synapse(self) -> bool:
        return self.delay is not None and self.delay.dim() > 0

    @abstractmethod
    def as_matrix(self, values: Tensor) -> Tensor:
        """Reshape values with the shape of the weights to ``[R, O]``."""

    @abstractmethod
    def rows(self, values: Tensor) -> Tensor:
        """Convert values of the source neurons ``[B, *source]`` to ``[B, R, L]``, in the dtype of the weights."""

    def arrived(self, values: Tensor) -> Tensor:
        """`pre_spikes` or `pre_trace` as ``[B, R, L]``, or ``[B, R, O, L]``, in the dtype of the weights."""
        return values.to(self.weight.dtype) if self.delays_each_synapse else self.rows(values)

    def lay_out(self, values: Tensor) -> Tensor:
        return self.rows(values).unsqueeze(2).to(values.dtype) if self.delays_each_synapse else values

    def lay_out_delay(self, delay: Tensor) -> Tensor:
        return self.as_matrix(delay).unsqueeze(2) if self.delays_each_synapse else delay

    def check_changeable(self) -> None:
        """Raise ValueError if the weights are computed from others (pruning, parametrisations): a change would be lost
        at the next step."""
        if "weight" not in self._parameters:
            raise ValueError(
                f"{self._get_name()}: weights that are pruned or parametrised cannot change: call "
                "torch.nn.utils.prune.remove or torch.nn.utils.parametrize.remove_parametrizations before"
            )

    def change(self, difference: Tensor) -> None:
        """Add a difference ``[R, O]`` to the weights, within the bounds."""
        self.check_changeable()
        self.matrix.add_(difference).clamp_(*self.bounds)

    def normalise(self) -> None:
        """Scale the weights of each neuron so that their absolute values sum to ``norm``, within the bounds."""
        if self.norm is not None:
            self.check_changeable()
            matrix = self.matrix
            smallest = max(1.0, self.norm) * torch.finfo(matrix.dtype).tiny  # no factor is infinite: inf · 0 is NaN
            matrix.mul_(self.norm / matrix.abs().sum(0).clamp_(min=smallest))
            matrix.clamp_(*self.bounds)
