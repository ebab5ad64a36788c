"""Adaptive leaky integrate-and-fire neurons (ALIF): every spike raises the threshold, which then falls back."""

from functools import partial
from typing import Any

from torch import Tensor

from bionets.layers.spiking.constraints import Value
from bionets.layers.spiking.firing import Firing, QuantFn, SpikeFn
from bionets.layers.spiking.spiking_layer import SpikingLayer


def alif_step(x: Tensor, state: Any, params: Any, *, firing: Firing) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """u = β·mem + x, o = firing(u − θ − s·a), mem' = u − θ·o, a' = ρ·a + o."""
    mem = params.beta * state.mem + x
    spike = firing(mem - params.threshold - params.strength * state.adaptation, state.noise)
    return spike, (mem - spike * params.threshold, params.rho * state.adaptation + spike)


class ALIF(SpikingLayer):
    """Adaptive leaky integrate-and-fire neurons (Bellec et al., Nature Communications 2020, eq. 6 to 9).

    u = β·mem + x
    o = quant_fn(spike_fn(u − (θ + s·a)))
    mem' = u − θ·o
    a' = ρ·a + o
    y = o

    Args:
        num_neurons: entries along ``dim``.
        beta: decay of the membrane, by default 0.9.
        rho: decay of the adaptation, by default 0.99; its time constant is the neuron's long memory.
        strength: s, by how much a spike raises the threshold, by default 0.1.
        threshold: θ, the threshold at rest, by default 1.
        dim, *_rank, learn_*, quant_fn, backend: as in `LIB`.
        spike_fn: as in `LIB`; by default a hard spike with a triangular derivative.
    """

    state_names = ("mem", "adaptation")
    beta: Tensor
    raw_beta: Tensor
    rho: Tensor
    raw_rho: Tensor
    strength: Tensor
    threshold: Tensor
    raw_threshold: Tensor
    mem: Tensor | None
    adaptation: Tensor | None

    def __init__(
        self,
        num_neurons: int,
        beta: Value = 0.9,
        rho: Value = 0.99,
        strength: Value = 0.1,
        threshold: Value = 1.0,
        dim: int = -1,
        *,
        beta_rank: int = 1,
        rho_rank: int = 1,
        strength_rank: int = 1,
        threshold_rank: int = 1,
        learn_beta: bool = True,
        learn_rho: bool = True,
        learn_strength: bool = True,
        learn_threshold: bool = True,
        spike_fn: str | SpikeFn = "triangle",
        quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto",
    ) -> None:
        firing = Firing.of(spike_fn, quant_fn)
        self.noises = int(firing.stochastic)
        self.neuron = partial(alif_step, firing=firing)
        super().__init__(num_neurons, dim, backend=backend)
        self.add_parameter("beta", beta, "decay", rank=beta_rank, learn=learn_beta)
        self.add_parameter("rho", rho, "decay", rank=rho_rank, learn=learn_rho)
        self.add_parameter("strength", strength, rank=strength_rank, learn=learn_strength)
        self.add_parameter("threshold", threshold, "threshold", rank=threshold_rank, learn=learn_threshold)
