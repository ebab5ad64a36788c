"""Exponential integrate-and-fire neurons: EIF, and AdEx with an adaptation current."""

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from bionets.layers.spiking.firing import Firing
from bionets.layers.spiking.neuron_layer import NeuronLayer, ParameterSpec

LARGEST_EXPONENT = 10.0  # keeps one step of the upstroke finite; a neuron above its peak is reset anyway


def exponential_step(x: Tensor, state: Any, params: Any, *, firing: Firing, adaptive: bool) -> tuple[Tensor, Any]:
    """u = v + (1 − β)(−v + Δ exp((v − θ)/Δ) − w + x), s = firing(u − peak), v' = (1 − s) u + s·reset,
    w' = ρ w + (1 − ρ) a v + b s."""
    exponent = ((state.mem - params.threshold) / params.sharpness).clamp(max=LARGEST_EXPONENT)
    drive = x - state.mem + params.sharpness * torch.exp(exponent)
    if adaptive:
        drive = drive - state.adaptation
    mem = state.mem + (1 - params.beta) * drive
    spike = firing(mem - params.peak, state.noise)
    new = mem + spike * (params.reset - mem)
    if not adaptive:
        return spike, new
    coupling = (1 - params.rho) * params.subthreshold * state.mem
    return spike, (new, params.rho * state.adaptation + coupling + params.spike_weight * spike)


class EIF(NeuronLayer):
    """Exponential integrate-and-fire neurons in units in which the resting potential is 0 (Fourcaud-Trocmé et al. 2003,
    equation 1).

    u = v + (1 − β)(−v + Δ exp((v − θ)/Δ) + x)
    s = quant_fn(spike_fn(u − peak))
    v' = (1 − s) u + s·reset
    y = s

    With β = 1 − dt/τ. The exponent is at most 10. The state `mem` (v) starts at 0.

    Args:
        num_neurons: size of the axis ``dim``.
        beta: decay of the membrane, by default 0.9.
        threshold: θ, membrane at which the upstroke begins, by default 1.
        sharpness: Δ, by default 0.2.
        peak: the membrane at which a spike is counted, by default 2.
        reset: the membrane after a spike, by default 0. Sharpness, peak and reset are one value per layer and not
            learned by default.
        dim, *_rank, learn_*, quant_fn, backend: as in `LIB`.
        spike_fn: as in `LIB`; by default a hard spike with the derivative of an arc tangent.
    """

    state_names: tuple[str, ...] = ("mem",)
    specs: ClassVar[tuple[ParameterSpec, ...]] = (
        ParameterSpec("beta", 0.9, "decay"),
        ParameterSpec("threshold", 1.0, "threshold"),
        ParameterSpec("sharpness", 0.2, "threshold", rank=0, learn=False),
        ParameterSpec("peak", 2.0, "threshold", rank=0, learn=False),
        ParameterSpec("reset", 0.0, rank=0, learn=False),
    )
    neuron_step = staticmethod(partial(exponential_step, adaptive=False))
    default_spike_fn = "arctan"


class AdEx(EIF):
    """Adaptive exponential integrate-and-fire neurons (Brette and Gerstner 2005, equations 1 to 3), in the units of
    `EIF`.

    u = v + (1 − β)(−v + Δ exp((v − θ)/Δ) − w + x)
    s = quant_fn(spike_fn(u − peak))
    v' = (1 − s) u + s·reset
    w' = ρ w + (1 − ρ) a v + b s
    y = s

    The exponent is at most 10. The states `mem` (v) and `adaptation` (w) start at 0.

    Args:
        rho: ρ, decay of the adaptation, by default 0.99.
        subthreshold: a, coupling of the adaptation to the membrane, by default 0.
        spike_weight: b, increase of the adaptation by a spike, by default 0.1.
        others: as in `EIF`.
    """

    state_names = ("mem", "adaptation")
    specs = (
        EIF.specs[0],
        ParameterSpec("rho", 0.99, "decay"),
        ParameterSpec("subthreshold", 0.0),
        ParameterSpec("spike_weight", 0.1),
        *EIF.specs[1:],
    )
    neuron_step = staticmethod(partial(exponential_step, adaptive=True))
