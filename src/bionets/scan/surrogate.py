"""Spike and straight-through functions, which have a chosen gradient in the backward pass.

Every function of this module calls `with_derivative` with two expressions. Your own functions can do the same:

    def exponential(v, slope=5.0):
        return with_derivative(heaviside(v), v, slope / 2 * torch.exp(-slope * v.abs()))
"""

import math
from typing import Any

import torch
from torch import Tensor


def with_derivative(value: Tensor, v: Tensor, derivative: Tensor) -> Tensor:
    """Return `value`, with `derivative` as its derivative with respect to v. All three tensors have the same shape."""
    return ChosenDerivative.apply(value, v, derivative)


class ChosenDerivative(torch.autograd.Function):
    """See `with_derivative`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, v: Tensor, derivative: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        (derivative,) = ctx.saved_tensors
        return None, gradient * derivative, None


def heaviside(v: Tensor) -> Tensor:
    """1 where v >= 0, else 0; has no gradient."""
    return (v >= 0).to(v.dtype)


def sigmoid(v: Tensor, slope: float = 4.0) -> Tensor:
    """Spike with the derivative of σ(slope·v): slope·σ·(1 − σ). Largest slope/4, at v = 0."""
    s = torch.sigmoid(slope * v)
    return with_derivative(heaviside(v), v, slope * s * (1 - s))


def fast_sigmoid(v: Tensor, slope: float = 2.0) -> Tensor:
    """Spike with the derivative of ½(1 + slope·v / (1 + slope·|v|)): slope / (2·(1 + slope·|v|)²)."""
    return with_derivative(heaviside(v), v, slope / 2 / (1 + slope * v.abs()) ** 2)


def super_spike(v: Tensor, slope: float = 10.0) -> Tensor:
    """Spike with derivative 1 / (1 + slope·|v|)², 1 at v = 0 (Zenke & Ganguli, 2018)."""
    return with_derivative(heaviside(v), v, 1 / (1 + slope * v.abs()) ** 2)


def arctan(v: Tensor, slope: float = 2.0) -> Tensor:
    """Spike with the derivative of arctan(π/2·slope·v)/π: slope / (2·(1 + (π/2·slope·v)²)) (Fang et al., 2021)."""
    return with_derivative(heaviside(v), v, slope / 2 / (1 + (math.pi / 2 * slope * v) ** 2))


def triangle(v: Tensor, height: float = 1.0, width: float = 1.0) -> Tensor:
    """Spike with derivative height·max(0, 1 − |v|/width) (Bellec et al., 2018, with height 0.3 and width θ)."""
    return with_derivative(heaviside(v), v, height * torch.relu(1 - v.abs() / width))


def rectangle(v: Tensor, width: float = 1.0) -> Tensor:
    """Spike with derivative 1/width where |v| < width/2, else 0 (Wu et al., 2018)."""
    return with_derivative(heaviside(v), v, (v.abs() < width / 2).to(v.dtype) / width)


def gaussian(v: Tensor, sigma: float = 0.5) -> Tensor:
    """Spike with the normal density N(v; 0, sigma²) as derivative."""
    return with_derivative(heaviside(v), v, _normal(v, sigma))


def multi_gaussian(
    v: Tensor, sigma: float = 0.5, height: float = 0.15, scale: float = 6.0, gain: float = 0.5
) -> Tensor:
    """Spike with derivative gain·[(1 + height)·N(v; 0, σ²) − height·N(v; σ, (scale·σ)²) − height·N(v; −σ, (scale·σ)²)].

    Slightly negative far from the threshold (Yin, Corradi & Bohté, 2021).
    """
    flanks = _normal(v - sigma, scale * sigma) + _normal(v + sigma, scale * sigma)
    return with_derivative(heaviside(v), v, gain * ((1 + height) * _normal(v, sigma) - height * flanks))


def leaky(v: Tensor, slope: float = 0.1) -> Tensor:
    """Spike with derivative 1 where v >= 0 and `slope` below."""
    return with_derivative(heaviside(v), v, torch.where(v >= 0, torch.ones_like(v), slope))


def straight_round(p: Tensor, step_size: float = 1.0) -> Tensor:
    """The nearest multiple of ``step_size``, with a straight-through gradient."""
    rounded = torch.round(p) if step_size == 1 else step_size * torch.round(p / step_size)
    return with_derivative(rounded, p, torch.ones_like(p))


def straight_bernoulli(p: Tensor, noise: Tensor, step_size: float = 1.0) -> Tensor:
    """A random multiple of ``step_size`` next to p, with expectation p, drawn by uniform noise in [0, 1). For
    ``step_size`` 1 and p between 0 and 1, the result is 1 with probability p. The gradient is straight-through.
    """
    if step_size == 1:
        drawn = (noise < p).to(p.dtype)
    else:
        steps = p / step_size
        below = torch.floor(steps)
        drawn = step_size * (below + (noise < steps - below).to(p.dtype))
    return with_derivative(drawn, p, torch.ones_like(p))


def _normal(v: Tensor, sigma: float) -> Tensor:
    return torch.exp(-0.5 * (v / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
