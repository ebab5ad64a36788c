"""Initial weights of spiking networks, chosen so that membranes fluctuate below their thresholds."""

import torch
from torch import Tensor, nn

from bionets.layers.spiking.alif import ALIF
from bionets.layers.spiking.fully_recurrent import FullyRecurrent
from bionets.layers.spiking.leaky_integrator import LeakyIntegrator
from bionets.layers.spiking.plif import PLIF
from bionets.layers.spiking.spiking_layer import SpikingLayer


def membrane_gain(layer: SpikingLayer) -> Tensor:
    """Σ_t ε[t]², ``[num_neurons]`` or a scalar: the ratio of the variance of a membrane below its threshold to the
    variance of its input at one step. ε[t] is the membrane t steps after an input of 1.

    1/(1 − β²) for ε = βᵗ; with a synaptic trace, (1 − α)²(1 + αβ)/((1 − αβ)(1 − α²)(1 − β²)).

    Raises:
        ValueError: the layer is a dual leaky integrator, or is not a leaky integrator, `PLIF` or `ALIF`.
    """
    if not isinstance(layer, LeakyIntegrator | PLIF | ALIF) or (isinstance(layer, LeakyIntegrator) and layer.kind.dual):
        raise ValueError(f"the response of {type(layer).__name__} to an input is not known in closed form")
    values = {name: value.detach() for name, value in zip(layer.constraints, layer.values(), strict=False)}
    beta = values["beta"]
    gain = 1 / (1 - beta**2)
    if isinstance(layer, PLIF) or (isinstance(layer, LeakyIntegrator) and layer.kind.average):
        gain = (1 - beta) ** 2 * gain
    if isinstance(layer, LeakyIntegrator) and layer.kind.synaptic:
        alpha = values["alpha"]
        gain = gain * (1 - alpha) ** 2 * (1 + alpha * beta) / ((1 - alpha * beta) * (1 - alpha**2))
    return gain


@torch.no_grad()
def fluctuation_driven_(
    network: nn.Sequential, rate: float = 0.1, input_rate: float | None = None, xi: float = 2.0, share: float = 0.9
) -> None:
    """Draw the weights of all `torch.nn.Linear` before spiking neurons so that the membranes fluctuate around 0 with a
    standard deviation of θ/ξ (Rossbroich, Gygax and Zenke 2022, Neuromorphic Computing and Engineering 2, 044016,
    section 2.1).

        weight ~ N(0, σ²), σ² = (θ/ξ)²/(n·rate·gain), bias = 0

    for n inputs, each with ``rate`` spikes per step, and the gain of `membrane_gain`. For `FullyRecurrent` neurons,
    ``share`` of this variance is from the linear layer, and the rest from the weights between the neurons. For layers
    without a threshold, θ = 1; for layers with ternary spikes, θ is the positive threshold.

    Args:
        network: linear layers and neurons in their order, also in nested ``nn.Sequential``; other layers (dropout) may
            be between them.
        rate: spikes per neuron and step.
        input_rate: the mean square of the input of the network at a step; for spikes, their rate. None: ``rate``.
        xi: ξ, the distance of the threshold from the mean of the membrane in standard deviations, 1 to 3 in the paper.
        share: share of the variance from the linear layers, between 0 and 1.

    Raises:
        ValueError: a rate, ξ or share is out of range, or the gain of a layer is unknown or infinite (β = 1), or no
            spiking neurons follow a linear layer.
    """
    first = rate if input_rate is None else input_rate
    if not (rate > 0 and first > 0 and xi > 0 and 0 <= share <= 1):
        raise ValueError(
            f"rate, input_rate and xi must be above 0 and share between 0 and 1, got {rate}, {first}, {xi} and {share}"
        )
    linear: nn.Linear | None = None
    drawn = False
    for module in network.modules():
        if isinstance(module, nn.Linear):
            linear = module
        layer = module.layer if isinstance(module, FullyRecurrent) else module
        if linear is None or not isinstance(layer, SpikingLayer):
            continue
        gain = membrane_gain(layer)
        if not bool(gain.isfinite().all()):
            raise ValueError(f"the membrane of {type(layer).__name__} does not decay: choose a beta below 1")
        names = [name for name in ("threshold", "pos_threshold") if name in layer.constraints]
        threshold = getattr(layer, names[0]).detach() if names else torch.ones(())
        variance = (threshold / xi) ** 2 / gain
        if isinstance(module, FullyRecurrent):
            _draw(module.weight, (1 - share) * variance / rate)
            variance = share * variance
        _draw(linear.weight, variance / first)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
        linear, first, drawn = None, rate, True
    if not drawn:
        raise ValueError("the network has no torch.nn.Linear followed by spiking neurons: there is nothing to draw")


def _draw(weight: Tensor, variance: Tensor) -> None:
    """Draw normal weights such that the expected sum of squares of a row is ``variance``."""
    deviation = (variance / weight.shape[1]).sqrt()
    weight.copy_(torch.randn_like(weight) * deviation.to(weight).expand(len(weight)).unsqueeze(1))
