"""Adaptive leaky integrate-and-fire neurons with a second-order membrane: adLIF and SE-adLIF."""

from functools import partial
from typing import Any

from torch import Tensor

from bionets.layers.spiking.constraints import Value
from bionets.layers.spiking.firing import Firing, QuantFn, SpikeFn
from bionets.layers.spiking.spiking_layer import SpikingLayer


def adlif_step(x: Tensor, state: Any, params: Any, *, firing: Firing, symplectic: bool) -> tuple[Tensor, Any]:
    """û = α u + (1 − α)(x − w), s = firing(û − θ), u' = û(1 − s), w' = β w + (1 − β)(a u + b s).

    With the symplectic Euler method w' follows from u' and s, otherwise from u and the spike of the step before.
    """
    mem = params.alpha * state.mem + (1 - params.alpha) * (x - state.adaptation)
    spike = firing(mem - params.threshold, state.noise)
    mem = mem * (1 - spike)
    seen_mem, seen_spike = (mem, spike) if symplectic else (state.mem, state.spike)
    drive = params.subthreshold * seen_mem + params.spike_weight * seen_spike
    adaptation = params.beta * state.adaptation + (1 - params.beta) * drive
    return spike, (mem, adaptation) if symplectic else (mem, adaptation, spike)


class AdLIF(SpikingLayer):
    """Adaptive leaky integrate-and-fire neurons, discretised by the forward Euler method (Bittar and Garner 2022;
    Baronig et al. 2024, arXiv 2408.07517, equations 6 to 8).

    û = α u + (1 − α)(x − w)
    s = quant_fn(spike_fn(û − θ))
    u' = û(1 − s)
    w' = β w + (1 − β)(a u + b s⁻), s⁻ being the spike of the step before
    y = s

    Args:
        num_neurons: entries along ``dim``.
        alpha: α, decay of the membrane, by default 0.9.
        beta: β, decay of the adaptation, by default 0.99.
        subthreshold: a, coupling of the adaptation to the membrane, by default 1. A positive a makes the membrane
            oscillate.
        spike_weight: b, growth of the adaptation with a spike, by default 10.
        threshold: θ, by default 1.
        dim, *_rank, learn_*, quant_fn, backend: as in `LIB`.
        spike_fn: as in `LIB`; by default a hard spike with the derivative of a fast sigmoid.
    """

    symplectic = False
    state_names: tuple[str, ...] = ("mem", "adaptation", "spike")

    def __init__(
        self,
        num_neurons: int,
        alpha: Value = 0.9,
        beta: Value = 0.99,
        subthreshold: Value = 1.0,
        spike_weight: Value = 10.0,
        threshold: Value = 1.0,
        dim: int = -1,
        *,
        alpha_rank: int = 1,
        beta_rank: int = 1,
        subthreshold_rank: int = 1,
        spike_weight_rank: int = 1,
        threshold_rank: int = 1,
        learn_alpha: bool = True,
        learn_beta: bool = True,
        learn_subthreshold: bool = True,
        learn_spike_weight: bool = True,
        learn_threshold: bool = False,
        spike_fn: str | SpikeFn = "fast_sigmoid",
        quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto",
    ) -> None:
        firing = Firing.of(spike_fn, quant_fn)
        self.noises = int(firing.stochastic)
        self.neuron = partial(adlif_step, firing=firing, symplectic=self.symplectic)
        super().__init__(num_neurons, dim, backend=backend)
        self.add_parameter("alpha", alpha, "decay", rank=alpha_rank, learn=learn_alpha)
        self.add_parameter("beta", beta, "decay", rank=beta_rank, learn=learn_beta)
        self.add_parameter("subthreshold", subthreshold, rank=subthreshold_rank, learn=learn_subthreshold)
        self.add_parameter("spike_weight", spike_weight, rank=spike_weight_rank, learn=learn_spike_weight)
        self.add_parameter("threshold", threshold, "threshold", rank=threshold_rank, learn=learn_threshold)


class SEAdLIF(AdLIF):
    """Adaptive leaky integrate-and-fire neurons, discretised by the symplectic Euler method, which keeps their
    oscillation stable (SE-adLIF; Baronig et al. 2024, arXiv 2408.07517, equations 15 to 17).

    As `AdLIF`, but the adaptation follows the new membrane and the new spike: w' = β w + (1 − β)(a u' + b s).
    """

    symplectic = True
    state_names = ("mem", "adaptation")
