"""Adaptive leaky integrate-and-fire neurons with a second-order membrane: adLIF and SE-adLIF."""

from functools import partial
from typing import Any

from torch import Tensor

from bionets.layers.spiking.firing import Firing
from bionets.layers.spiking.neuron_layer import NeuronLayer, ParameterSpec


def adlif_step(x: Tensor, state: Any, params: Any, *, firing: Firing, symplectic: bool) -> tuple[Tensor, Any]:
    """û = α u + (1 − α)(x − w), s = firing(û − θ), u' = û(1 − s), w' = β w + (1 − β)(a u + b s).

    With the symplectic Euler method, w' depends on u' and s; otherwise on u and the spike of the previous step.
    """
    mem = params.alpha * state.mem + (1 - params.alpha) * (x - state.adaptation)
    spike = firing(mem - params.threshold, state.noise)
    mem = mem * (1 - spike)
    seen_mem, seen_spike = (mem, spike) if symplectic else (state.mem, state.spike)
    drive = params.subthreshold * seen_mem + params.spike_weight * seen_spike
    adaptation = params.beta * state.adaptation + (1 - params.beta) * drive
    return spike, (mem, adaptation) if symplectic else (mem, adaptation, spike)


class AdLIF(NeuronLayer):
    """Adaptive leaky integrate-and-fire neurons, discretised by the forward Euler method (Bittar and Garner 2022;
    Baronig et al. 2024, arXiv 2408.07517, equations 6 to 8).

    û = α u + (1 − α)(x − w)
    s = quant_fn(spike_fn(û − θ))
    u' = û(1 − s)
    w' = β w + (1 − β)(a u + b s⁻), where s⁻ is the spike of the previous step
    y = s

    The states `mem` (u), `adaptation` (w) and `spike` (s⁻) start at 0.

    Args:
        num_neurons: size of the axis ``dim``.
        alpha: α, decay of the membrane, by default 0.9.
        beta: β, decay of the adaptation, by default 0.99.
        subthreshold: a, coupling of the adaptation to the membrane, by default 1. A positive a makes the membrane
            oscillate.
        spike_weight: b, increase of the adaptation by a spike, by default 10.
        threshold: θ, by default 1, not learned.
        dim, *_rank, learn_*, quant_fn, backend: as in `LIB`.
        spike_fn: as in `LIB`; by default a hard spike with the derivative of a fast sigmoid.
    """

    state_names: tuple[str, ...] = ("mem", "adaptation", "spike")
    specs = (
        ParameterSpec("alpha", 0.9, "decay"),
        ParameterSpec("beta", 0.99, "decay"),
        ParameterSpec("subthreshold", 1.0),
        ParameterSpec("spike_weight", 10.0),
        ParameterSpec("threshold", 1.0, "threshold", learn=False),
    )
    neuron_step = staticmethod(partial(adlif_step, symplectic=False))
    default_spike_fn = "fast_sigmoid"


class SEAdLIF(AdLIF):
    """Adaptive leaky integrate-and-fire neurons, discretised by the symplectic Euler method, which makes the
    oscillation stable (SE-adLIF; Baronig et al. 2024, arXiv 2408.07517, equations 15 to 17).

    As `AdLIF`, but the adaptation depends on the new membrane and the new spike: w' = β w + (1 − β)(a u' + b s).
    The states are `mem` and `adaptation`.
    """

    state_names = ("mem", "adaptation")
    neuron_step = staticmethod(partial(adlif_step, symplectic=True))
