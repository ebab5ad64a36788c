"""Losses of spiking networks, for scores ``[B, O]`` of a readout or for outputs of the last layer ``[T, B, O]``.

After a readout, any loss for scores can be used, for example ``functional.cross_entropy(spike_count(spikes), target)``;
this module has the losses that torch lacks. All losses are means over the batch. With ``lengths`` (``[B]`` integers),
each sequence ends at its length. Outputs may be integers or bools; losses other than `soft_cross_entropy` raise
ValueError unless the classes are ``[B]``.
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
    membrane = _with_classes(membrane, target)
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
    rates = spike_rate(_with_classes(spikes, target), lengths)
    wanted = torch.full_like(rates, wrong).scatter_(1, target.unsqueeze(1), right)
    return functional.mse_loss(rates, wanted)


def first_spike_cross_entropy(spikes: Tensor, target: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """The cross-entropy with the classes ``[B]``, where the scores are minus the times of the first spikes of
    ``[T, B, O]``: the neuron of the class is trained to spike first.
    """
    return functional.cross_entropy(-first_spike_time(_with_classes(spikes, target), lengths), target)


def _with_classes(outputs: Tensor, target: Tensor) -> Tensor:
    """The outputs ``[T, B, O]``, as floating-point numbers, after a check of the classes ``[B]``."""
    if outputs.dim() != 3 or target.shape != outputs.shape[1:2]:
        raise ValueError(
            f"outputs must be [T, B, O] and classes [B], got shapes {list(outputs.shape)} and {list(target.shape)}"
        )
    return outputs.to(torch.result_type(outputs, 1.0))
