"""Stigmergic perceptrons: units whose thresholds (and weights) increase with activity and decrease with time."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.checks import positive_int, require_dtype
from bionets.layers.lengths import flat_lengths, flat_reset, zero_past_end
from bionets.layers.precision import at_least_float32
from bionets.layers.stateful import StatefulModule, States
from bionets.layers.stigmergic.stigmergic_memory import Clamp, check_clamp, check_input, smooth_clamp
from bionets.scan import scan

__all__ = ["StigmergicPerceptron"]

Pair = tuple[Tensor, Tensor]


def threshold_step(drive: Tensor, threshold: Tensor, params: Pair, *, clamp: Clamp) -> Pair:
    """y = σ(drive − θ), θ' = clamp(θ + mark∘y − tick)."""
    mark, tick = params
    y = torch.sigmoid(drive - threshold)
    return y, clamp(threshold + mark * y - tick)


def weight_step(x: Tensor, weight: Tensor, params: Pair, *, clamp: Clamp) -> Pair:
    """W' = clamp(W + mark∘x − tick); returns the weights before the step. x ``[B, 1, I]``, W ``[B, O, I]``."""
    mark, tick = params
    return weight, clamp(weight + mark * x - tick)


class StigmergicPerceptron(StatefulModule):
    """A layer of units with stigmergic thresholds and, if ``stigmergic_weights`` is True, stigmergic weights.

    y = σ(W x + b − θ), θ' = clamp(θ + m∘y − k), W' = clamp(W + M∘x − K) with the input along the rows. The parameters
    are b, m and k ``[output_size]`` (``bias``, ``mark``, ``tick``), M and K ``[output_size, input_size]``
    (``weight_mark``, ``weight_tick``), and the initial values of θ and W (``threshold_start``, ``weight``). All are
    drawn from U(−1/√input_size, 1/√input_size). For the clamp see `smooth_clamp`; its range is our choice.

    ``[*, input_size] -> [*, output_size]`` at each step; the states are ``threshold`` and, if it changes, ``weights``.

    Raises:
        ValueError: a size is below 1, or clamp_min is not below clamp_max.

    Source: Galatolo, Cimino and Vaglini, "Using stigmergy to incorporate the time into artificial neural networks",
    MIKE 2018, where these are called simple and full layer.
    """

    threshold: Tensor | None
    weights: Tensor | None

    no_weight_decay = ("weight_tick",)

    def __init__(
        self,
        input_size: int,
        output_size: int,
        stigmergic_weights: bool = False,
        clamp_min: float | None = -1.0,
        clamp_max: float | None = 1.0,
    ) -> None:
        self.state_names = ("threshold", "weights") if stigmergic_weights else ("threshold",)
        super().__init__()
        self.input_size = positive_int("input_size", input_size)
        self.output_size = positive_int("output_size", output_size)
        self.stigmergic_weights = stigmergic_weights
        check_clamp(clamp_min, clamp_max)
        self.clamp = partial(smooth_clamp, clamp_min=clamp_min, clamp_max=clamp_max)
        self.weight = nn.Parameter(torch.empty(output_size, input_size))
        self.bias = nn.Parameter(torch.empty(output_size))
        self.threshold_start = nn.Parameter(torch.zeros(output_size))
        self.mark = nn.Parameter(torch.empty(output_size))
        self.tick = nn.Parameter(torch.empty(output_size))
        if stigmergic_weights:
            self.weight_mark = nn.Parameter(torch.empty(output_size, input_size))
            self.weight_tick = nn.Parameter(torch.empty(output_size, input_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(input_size**-0.5), input_size**-0.5)

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        """``[*, output_size]``, and ``[*, output_size, input_size]``."""
        threshold = (*input_shape[:-1], self.output_size)
        return (threshold, (*threshold, self.input_size)) if self.stigmergic_weights else (threshold,)

    def initial_states(self, x: Tensor) -> States:
        """The initial thresholds and weights, the same for every sequence; float32 also for half precision."""
        starts = map(at_least_float32, (self.threshold_start, self.weight))
        return tuple(start.expand(shape) for start, shape in zip(starts, self.state_shapes(x.shape[1:]), strict=False))

    def over_time(
        self,
        x: Tensor,
        states: States | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        backend: str = "auto",
    ) -> tuple[Tensor, States]:
        """The outputs ``[T, *, output_size]`` for x ``[T, *, input_size]``, and the last states. See
        `StatefulModule`."""
        check_input(self._get_name(), x, self.input_size)
        lead, size_in, size_out = x.shape[1:-1], self.input_size, self.output_size
        threshold, *weights = self.checked_states(x, states)
        lengths, reset = flat_lengths(x, lengths, lead), flat_reset(x, reset, lead)
        options: dict[str, Any] = {"lengths": lengths, "reset": reset, "backend": backend}
        fresh_threshold, *fresh_weights = self.initial_states(x)
        x = x.reshape(len(x), math.prod(lead), size_in)
        if lengths is not None:
            x = zero_past_end(x, lengths)  # otherwise 0·NaN would reach the gradients of the weights
        if self.stigmergic_weights:
            params = (self.weight_mark, self.weight_tick)
            start = weights[0].reshape(-1, size_out, size_in)
            step = partial(weight_step, clamp=self.clamp)
            fresh = fresh_weights[0].reshape(-1, size_out, size_in)
            history, last = scan(step, x.unsqueeze(2), start, params, **options, reset_to=fresh)
            drive = (history @ x.unsqueeze(3)).squeeze(3) + self.bias
            weights = [last.reshape(*lead, size_out, size_in)]
        else:
            require_dtype(self._get_name(), x, self.weight)
            drive = nn.functional.linear(x, self.weight, self.bias)
        step = partial(threshold_step, clamp=self.clamp)
        start, params = threshold.reshape(-1, size_out), (self.mark, self.tick)
        fresh = fresh_threshold.reshape(-1, size_out)
        y, threshold = scan(step, drive, start, params, **options, reset_to=fresh)
        return y.reshape(len(x), *lead, size_out), (threshold.reshape(*lead, size_out), *weights)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.output_size}, stigmergic_weights={self.stigmergic_weights}"
