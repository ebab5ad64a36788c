"""Losses of spiking networks, for scores ``[B, O]`` of a readout or for outputs of the last layer ``[T, B, O]``.

After a readout, any loss for scores can be used, for example ``functional.cross_entropy(spike_count(spikes), target)``;
this module has the losses that torch lacks. All losses are means over the batch. With ``lengths`` (``[B]`` integers),
each sequence ends at its length.
"""

import torch
from torch import Tensor
from torch.nn import functional

from bionets.layers.lengths import zero_past_end
from bionets.layers.precision import at_least_float32
from bionets.layers.spiking.readouts import first_spike_time, spike_rate, valid_mean
from bionets.scan.arguments import check_lengths


def soft_cross_entropy(prediction: Tensor, target: Tensor, smallest: float = 1e-8) -> Tensor:
    """−Σ target·ln(prediction) over the outputs, where both are probabilities ``[B, ...]``: rates, or a softmax.

    Predictions below ``smallest`` are replaced by it but keep their gradient, so that a silent neuron can learn. (For
    scores that are not probabilities, use `torch.nn.functional.cross_entropy`.)
    """
    if prediction.shape != target.shape:
        raise ValueError(f"prediction {list(prediction.shape)} and target {list(target.shape)} must have one shape")
    prediction = at_least_float32(prediction)  # float16 would round ``smallest`` to 0
    floored = prediction + (smallest - prediction).clamp_min(0).detach()
    return -(target * floored.log()).flatten(1).sum(1).mean()


def cross_entropy_each_step(
    membrane: Tensor, target: Tensor, label_smoothing: float = 0.0, *, lengths: Tensor | None = None
) -> Tensor:
    """The mean over time of the cross-entropy of the scores ``[T, B, O]`` of each step with the classes ``[B]``. Every
    step is trained to be correct, not only the mean (temporal efficient training, Deng et al., ICLR 2022, eq. 9).
    """
    if lengths is not None:
        membrane = zero_past_end(membrane, check_lengths(lengths, membrane.shape, membrane.device))
    steps = target.expand(len(membrane), -1)
    each = functional.cross_entropy(
        membrane.flatten(0, 1), steps.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return valid_mean(each.view(steps.shape), lengths).mean()


def spike_rate_error(
    spikes: Tensor, target: Tensor, right: float = 0.8, wrong: float = 0.1, *, lengths: Tensor | None = None
) -> Tensor:
    """The mean squared error of the spike rates of ``[T, B, O]`` over samples and outputs, with the target rate
    ``right`` for the class in ``[B]`` and ``wrong`` for the others. With targets between 0 and 1, neurons neither fall
    silent nor spike at every step.
    """
    rates = spike_rate(spikes, lengths)
    wanted = torch.full_like(rates, wrong).scatter_(1, target.unsqueeze(1), right)
    return functional.mse_loss(rates, wanted)


def first_spike_cross_entropy(spikes: Tensor, target: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """The cross-entropy with the classes ``[B]``, where the scores are minus the times of the first spikes of
    ``[T, B, O]``: the neuron of the class is trained to spike first.
    """
    return functional.cross_entropy(-first_spike_time(spikes, lengths), target)
