"""From what the last layer gives over time, ``[T, B, O]``, to one score for each output, ``[B, O]``."""

import torch
from torch import Tensor

__all__ = [
    "READOUTS",
    "first_spike_time",
    "last_membrane",
    "max_membrane",
    "mean_membrane",
    "spike_count",
    "spike_rate",
]


def spike_count(spikes: Tensor) -> Tensor:
    """How many spikes: Σ_t s[t]."""
    return spikes.sum(0)


def spike_rate(spikes: Tensor) -> Tensor:
    """The share of steps with a spike: the mean of s over time."""
    return spikes.mean(0)


def mean_membrane(membrane: Tensor) -> Tensor:
    """The mean of the membrane over time."""
    return membrane.mean(0)


def last_membrane(membrane: Tensor) -> Tensor:
    """The membrane after the last step."""
    return membrane[-1]


def max_membrane(membrane: Tensor) -> Tensor:
    """The highest that the membrane came."""
    return membrane.amax(0)


def first_spike_time(spikes: Tensor) -> Tensor:
    """The step of the first spike, counted from 0, and T where there is none: Σ_t Π_{u ≤ t} (1 − s[u]).

    The sum counts the steps that a neuron has been silent through. Between 0 and 1 it is the expected time of the first
    spike when s[t] are probabilities, so that its gradient pulls every step up to the first spike.
    """
    return torch.cumprod(1 - spikes, 0).sum(0)


def soonest(spikes: Tensor) -> Tensor:
    """Minus `first_spike_time`: the sooner, the higher the score."""
    return -first_spike_time(spikes)


READOUTS = {
    "spike_count": spike_count,
    "spike_rate": spike_rate,
    "first_spike": soonest,
    "mean_membrane": mean_membrane,
    "last_membrane": last_membrane,
    "max_membrane": max_membrane,
}
