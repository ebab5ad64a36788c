"""Two of traceTorch's layers as steps of `bionets.scan`, with either of its two quantisers (`round`, `bernoulli`)."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from bionets.scan.surrogate import straight_bernoulli, straight_round

Quantise = Callable[[Tensor], Tensor]


def lib_round(x: Tensor, mem: Tensor, params: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """LIB: mem = β·mem + x, p = σ(4(mem − θ)), out = quantise(p), mem −= out·θ. params: β, θ."""
    return _lib(x, mem, params, straight_round)


def lib_bernoulli(x: tuple[Tensor, Tensor], mem: Tensor, params: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """LIB with random spikes: the output is 1 with probability p. x: the input and uniform noise."""
    current, noise = x
    return _lib(current, mem, params, lambda p: straight_bernoulli(p, noise))


def _lib(x: Tensor, mem: Tensor, params: tuple[Tensor, Tensor], quantise: Quantise) -> tuple[Tensor, Tensor]:
    beta, theta = params
    mem = beta * mem + x
    out = quantise(torch.sigmoid(4 * (mem - theta)))
    return out, mem - out * theta


class Pair(NamedTuple):
    """The positive and the negative trace of a quantity."""

    positive: Tensor
    negative: Tensor


class DSRLITSState(NamedTuple):
    """The synaptic, recurrent and membrane traces. The recurrent trace already includes the last output."""

    syn: Pair
    rec: Pair
    mem: Pair


class DSRLITSParams(NamedTuple):
    """Decays α, β, γ, thresholds θ, output scales and recurrent weights, one of each for the positive and the negative
    trace.
    """

    alpha: Pair
    beta: Pair
    gamma: Pair
    theta: Pair
    scale: Pair
    weight: Pair


def dsrlits_round(x: Tensor, state: DSRLITSState, params: DSRLITSParams) -> tuple[Tensor, DSRLITSState]:
    """Dual synaptic recurrent leaky integrator with scaled ternary output, the layer of traceTorch with the most
    operations.
    """
    return _dsrlits(x, state, params, straight_round, straight_round)


def dsrlits_bernoulli(
    x: tuple[Tensor, Tensor, Tensor], state: DSRLITSState, params: DSRLITSParams
) -> tuple[Tensor, DSRLITSState]:
    """DSRLITS with random spikes. x: the input, and uniform noise for positive and negative spikes."""
    current, positive, negative = x
    return _dsrlits(
        current, state, params, lambda p: straight_bernoulli(p, positive), lambda p: straight_bernoulli(p, negative)
    )


def _dsrlits(
    x: Tensor, state: DSRLITSState, params: DSRLITSParams, quantise_positive: Quantise, quantise_negative: Quantise
) -> tuple[Tensor, DSRLITSState]:
    (syn, rec, mem), (alpha, beta, gamma, theta, scale, weight) = state, params

    syn = _smooth(syn, alpha, x)
    external, recurrent = _split(syn.positive + syn.negative), _split(rec.positive + rec.negative)
    mem = Pair(
        beta.positive * mem.positive + weight.positive * recurrent.positive + external.positive,
        beta.negative * mem.negative + weight.negative * recurrent.negative + external.negative,
    )

    potential = mem.positive + mem.negative
    up = quantise_positive(torch.sigmoid(4 * (potential - theta.positive)))
    down = quantise_negative(torch.sigmoid(4 * (-theta.negative - potential)))
    reset = 0.5 * (up * theta.positive - down * theta.negative)
    out = up * scale.positive - down * scale.negative

    mem = Pair(mem.positive - reset, mem.negative - reset)
    return out, DSRLITSState(syn, _smooth(rec, gamma, out), mem)


def _smooth(trace: Pair, decay: Pair, value: Tensor) -> Pair:
    """Update of a pair of traces, decay·trace + (1 − decay)·value, where each trace takes the values of its sign."""
    part = _split(value)
    return Pair(
        decay.positive * trace.positive + (1 - decay.positive) * part.positive,
        decay.negative * trace.negative + (1 - decay.negative) * part.negative,
    )


def _split(value: Tensor) -> Pair:
    """[value]₊ and [value]₋. The gradient at 0 passes through both."""
    return Pair(value.clamp(min=0), value.clamp(max=0))
