"""Encoders from numbers to spikes over time: a batch ``[...]`` to ``[T, ...]``.

Random encoders draw from ``generator``; None for the default generator of torch.
"""

import math

import torch
from torch import Generator, Tensor

from bionets.layers.precision import at_least_float32
from bionets.scan import scan


def direct(x: Tensor, steps: int) -> Tensor:
    """The numbers themselves at every step: y[t] = x. The result is a view without copies; `unroll` computes the
    following layers without state only once.
    """
    return x.expand(_checked(steps), *x.shape)


def rate(x: Tensor, steps: int, generator: Generator | None = None) -> Tensor:
    """Bernoulli spikes, independent at each step: y[t] = 1 with probability x, a Poisson process in discrete time.

    Numbers below 0 never spike, numbers above 1 always spike. For x in [0, 1], the expected mean over time is x. No
    gradient flows to x.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)  # half precision is too coarse for probabilities
    noise = torch.rand((_checked(steps), *x.shape), generator=generator, dtype=dtype, device=x.device)
    return (noise < x).to(x.dtype)


def latency(x: Tensor, steps: int, threshold: float = 0.01, decay: float | None = None) -> Tensor:
    """One spike for each number above ``threshold``, earlier for larger numbers; y[t] = [t = round(delay)].

    Without ``decay``, the delay decreases linearly from steps − 1 for x = threshold to 0 for x = 1. With ``decay``, it
    is ln(1 − threshold/x) / ln(decay), the number of steps after which a leaky membrane v' = decay·v + (1 − decay)·x
    first reaches the threshold; later spikes are moved to the last step.

    Raises:
        ValueError: ``steps`` is below 1 or not whole, or the threshold or the decay is not above 0 and below 1.
    """
    for name, value in (("threshold", threshold), ("decay", decay)):
        if value is not None and not 0 < value < 1:
            raise ValueError(f"{name} must be above 0 and below 1, got {value}")
    last = _checked(steps) - 1
    dtype, x = x.dtype, at_least_float32(x)  # half precision cannot represent all step numbers
    reaches = x > threshold
    if decay is None:
        delay = last * (1 - x) / (1 - threshold)
    else:
        delay = torch.log1p(-threshold / torch.where(reaches, x, 1.0)) / math.log(decay)
    delay = delay.clamp(0, last).round()
    times = torch.arange(steps, dtype=x.dtype, device=x.device).view(-1, *(1,) * x.dim())
    return ((times == delay) & reaches).to(dtype)


def delta(x: Tensor, threshold: float = 0.1) -> Tensor:
    """Delta modulation (level crossings): changes of a signal x ``[T, B, ...]`` over time, as +1, 0 and −1.

    A level starts at 0 and follows the signal: y = 1 if x is at least ``threshold`` above the level, y = −1 if it is at
    least ``threshold`` below, and the level then changes by threshold·y. threshold·cumsum(y) approximates the signal
    with an error below the threshold, if the signal changes by at most the threshold per step. No gradient flows to x.

    Raises:
        ValueError: the threshold is not positive.
        TypeError: x is complex.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0, got {threshold}")
    if x.is_complex():
        raise TypeError(f"x must be real, got {x.dtype}")
    x = x.detach() if x.is_floating_point() else x.float()  # an integer would round the threshold
    return scan(_follow, x, x.new_zeros(x.shape[1:]), (at_least_float32(x).new_tensor(threshold),))[0]


def _follow(x: Tensor, level: Tensor, params: tuple[Tensor]) -> tuple[Tensor, Tensor]:
    (threshold,) = params
    off = x - level
    spike = (off >= threshold).to(x.dtype) - (off <= -threshold).to(x.dtype)
    return spike, level + threshold * spike


def _checked(steps: int) -> int:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if steps % 1:
        raise ValueError(f"steps must be a whole number, got {steps}")
    return steps


ENCODERS = {"direct": direct, "rate": rate, "latency": latency, "delta": delta}
