"""Readouts from the outputs of the last layer over time, ``[T, B, O]``, to one score for each output, ``[B, O]``.

With ``lengths`` (``[B]`` integers), each sequence ends at its length; the scores of a sequence without steps are 0.
"""

import torch
from torch import Tensor

from bionets.layers.lengths import valid_steps, zero_past_end
from bionets.scan.arguments import check_lengths


def spike_count(spikes: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The number of spikes: Σ_t s[t]."""
    return valid_sum(spikes, lengths)


def spike_rate(spikes: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The share of steps with a spike: the mean of s over time."""
    return valid_mean(spikes, lengths)


def mean_membrane(membrane: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The mean of the membrane over time."""
    return valid_mean(membrane, lengths)


def last_membrane(membrane: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The membrane after the last step."""
    if lengths is None:
        return membrane[-1] if membrane.shape[0] else valid_sum(membrane, None)
    last = check_lengths(lengths, membrane.shape, membrane.device) - 1
    is_last = torch.arange(len(membrane), device=membrane.device).unsqueeze(1) == last
    return torch.where(_like(is_last, membrane), membrane, 0).sum(0)


def max_membrane(membrane: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The maximum of the membrane over time."""
    if membrane.shape[0] == 0:
        return valid_sum(membrane, lengths)  # there is no maximum of nothing
    if lengths is None:
        return membrane.amax(0)
    lengths = check_lengths(lengths, membrane.shape, membrane.device)
    valid = _like(valid_steps(lengths, len(membrane)), membrane)
    highest = torch.where(valid, membrane, -torch.inf).amax(0)
    return torch.where(_like(lengths > 0, highest), highest, 0)


def first_spike_time(spikes: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The step of the first spike, counted from 0, or T if there is no spike: Σ_t Π_{u ≤ t} (1 − s[u]).

    The outputs must lie between 0 and 1; ternary spikes have no such time. The sum is the number of steps before the
    first spike, or its expectation if s[t] are probabilities; every step up to the first spike therefore has a
    gradient.
    """
    if lengths is not None:
        spikes = zero_past_end(spikes, check_lengths(lengths, spikes.shape, spikes.device))
    return valid_sum(torch.cumprod(1 - 1 * spikes, 0), lengths)  # 1 * also for bools, which torch does not subtract


def soonest(spikes: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Minus `first_spike_time`: an earlier spike has a higher score."""
    return -first_spike_time(spikes, lengths)


def valid_sum(x: Tensor, lengths: Tensor | None) -> Tensor:
    """The sum of x ``[T, B, ...]`` over the steps of each sequence."""
    return (x if lengths is None else zero_past_end(x, check_lengths(lengths, x.shape, x.device))).sum(0)


def valid_mean(x: Tensor, lengths: Tensor | None) -> Tensor:
    """The mean of x ``[T, B, ...]`` over the steps of each sequence; 0 for a sequence without steps."""
    if lengths is None:
        dtype = torch.result_type(x, 1.0)  # spikes may be integers or bools
        return x.mean(0, dtype=dtype) if x.shape[0] else x.sum(0, dtype=dtype)
    total = valid_sum(x, lengths)
    return total / _like(lengths.to(x.device).clamp_min(1), total)


def _like(values: Tensor, x: Tensor) -> Tensor:
    """Reshape values for the first axes of x to broadcast over the other axes."""
    return values.view(*values.shape, *(1,) * (x.dim() - values.dim()))


READOUTS = {
    "spike_count": spike_count,
    "spike_rate": spike_rate,
    "first_spike": soonest,
    "mean_membrane": mean_membrane,
    "last_membrane": last_membrane,
    "max_membrane": max_membrane,
}
