"""Adaptive leaky integrate-and-fire neurons (ALIF): every spike raises the threshold, which then decays."""

from typing import Any

from torch import Tensor

from bionets.layers.spiking.firing import Firing
from bionets.layers.spiking.neuron_layer import NeuronLayer, ParameterSpec


def alif_step(x: Tensor, state: Any, params: Any, *, firing: Firing) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """u = β·mem + x, o = firing(u − θ − s·a), mem' = u − θ·o, a' = ρ·a + o."""
    mem = params.beta * state.mem + x
    spike = firing(mem - params.threshold - params.strength * state.adaptation, state.noise)
    return spike, (mem - spike * params.threshold, params.rho * state.adaptation + spike)


class ALIF(NeuronLayer):
    """Adaptive leaky integrate-and-fire neurons (Bellec et al., Nature Communications 2020, eq. 6 to 9).

    u = β·mem + x
    o = quant_fn(spike_fn(u − (θ + s·a)))
    mem' = u − θ·o
    a' = ρ·a + o
    y = o

    The states `mem` and `adaptation` (a) start at 0.

    Args:
        num_neurons: size of the axis ``dim``.
        beta: decay of the membrane, by default 0.9.
        rho: decay of the adaptation, by default 0.99; its time constant is the long memory of the neuron.
        strength: s, increase of the threshold by a spike, by default 0.1.
        threshold: θ, the threshold at rest, by default 1.
        dim, *_rank, learn_*, quant_fn, backend: as in `LIB`.
        spike_fn: as in `LIB`; by default a hard spike with a triangular derivative.
    """

    state_names = ("mem", "adaptation")
    specs = (
        ParameterSpec("beta", 0.9, "decay"),
        ParameterSpec("rho", 0.99, "decay"),
        ParameterSpec("strength", 0.1),
        ParameterSpec("threshold", 1.0, "threshold"),
    )
    neuron_step = staticmethod(alif_step)
    default_spike_fn = "triangle"
