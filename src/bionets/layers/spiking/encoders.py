"""From numbers to spikes over time: a batch ``[...]`` to ``[T, ...]``.

The random ones take their numbers from ``generator``; None is torch's own.
"""

import torch
from torch import Generator, Tensor

from bionets.layers.precision import at_least_float32
from bionets.scan import scan


def direct(x: Tensor, steps: int) -> Tensor:
    """The numbers themselves, at every step: y[t] = x. A view: nothing is copied, and `unroll` computes what follows
    only once as long as it has no state.
    """
    return x.expand(_checked(steps), *x.shape)


def rate(x: Tensor, steps: int, generator: Generator | None = None) -> Tensor:
    """Bernoulli spikes, independent at each step: y[t] = 1 with probability x, a Poisson process in discrete time.

    Numbers below 0 never spike, those above 1 always. The expectation of the mean over time is x, within [0, 1]; no
    gradient flows to x.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)  # numbers in half precision are too coarse a grid
    noise = torch.rand((_checked(steps), *x.shape), generator=generator, dtype=dtype, device=x.device)
    return (noise < x).to(x.dtype)


def latency(x: Tensor, steps: int, threshold: float = 0.01, decay: float | None = None) -> Tensor:
    """One spike for each number above ``threshold``, earlier for larger numbers; y[t] = [t = round(delay)].

    Without ``decay``, the delay falls in a straight line from steps − 1 at the threshold to 0 at 1. With it, it is the
    number of steps after which a leaky membrane with v' = decay·v + (1 − decay)·x first reaches the threshold,
    ln(1 − threshold/x) / ln(decay), and what would come after the last step comes at the last.

    Raises:
        ValueError: steps below one, or a threshold or a decay that does not lie between 0 and 1.
    """
    for name, value in (("threshold", threshold), ("decay", decay)):
        if value is not None and not 0 < value < 1:
            raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    last = _checked(steps) - 1
    dtype, x = x.dtype, at_least_float32(x)  # half precision cannot count the steps
    reaches = x > threshold
    if decay is None:
        delay = last * (1 - x) / (1 - threshold)
    else:
        delay = torch.log1p(-threshold / torch.where(reaches, x, 1.0)) / torch.tensor(decay).log()
    delay = delay.clamp(0, last).round()
    times = torch.arange(steps, dtype=x.dtype, device=x.device).view(-1, *(1,) * x.dim())
    return ((times == delay) & reaches).to(dtype)


def delta(x: Tensor, threshold: float = 0.1) -> Tensor:
    """Changes of a signal over time x ``[T, B, ...]``, as +1, 0 and −1 of the same shape: delta modulation, or level
    crossings.

    A level starts at 0 and follows the signal: where x lies ``threshold`` or more above it, y = 1, where as much below,
    y = −1, and the level moves by threshold·y. So threshold·cumsum(y) is the signal again, to within the threshold
    wherever it changes no faster than that. No gradient flows to x.

    Raises:
        ValueError: a threshold that is not above 0.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0, got {threshold}")
    return scan(_follow, x.detach(), x.new_zeros(x.shape[1:]), (x.new_tensor(threshold),))[0]


def _follow(x: Tensor, level: Tensor, params: tuple[Tensor]) -> tuple[Tensor, Tensor]:
    (threshold,) = params
    off = x - level
    spike = (off >= threshold).to(x.dtype) - (off <= -threshold).to(x.dtype)
    return spike, level + threshold * spike


def _checked(steps: int) -> int:
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    return steps


ENCODERS = {"direct": direct, "rate": rate, "latency": latency, "delta": delta}
