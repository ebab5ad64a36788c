"""Parametric leaky integrate-and-fire neurons (PLIF): a layer learns one time constant."""

from functools import partial
from typing import Any

from torch import Tensor

from bionets.layers.spiking.constraints import Value
from bionets.layers.spiking.firing import Firing, QuantFn, SpikeFn
from bionets.layers.spiking.spiking_layer import SpikingLayer


def plif_step(x: Tensor, state: Any, params: Any, *, firing: Firing, detach_reset: bool) -> tuple[Tensor, Tensor]:
    """u = β·mem + (1 − β)·x, o = firing(u − θ), mem' = u·(1 − o)."""
    mem = params.beta * state.mem + (1 - params.beta) * x
    spike = firing(mem - params.threshold, state.noise)
    return spike, mem * (1 - (spike.detach() if detach_reset else spike))


class PLIF(SpikingLayer):
    """Parametric leaky integrate-and-fire neurons (Fang et al., ICCV 2021, eq. 4 to 8 with V_reset = 0).

    u = β·mem + (1 − β)·x
    o = quant_fn(spike_fn(u − θ))
    mem' = u·(1 − o)
    y = o

    With β = 1 − 1/τ; by default one learned β for the layer and a fixed θ. A spike resets the membrane to 0.

    Args:
        num_neurons: entries along ``dim``.
        beta: decay of the membrane, by default 0.5 (τ = 2).
        threshold: threshold, by default 1.
        dim, beta_rank, threshold_rank, learn_beta, learn_threshold, quant_fn, backend: as in `LIB`.
        spike_fn: as in `LIB`; by default a hard spike with the derivative of an arc tangent.
        detach_reset: let no gradient pass through the reset.
    """

    state_names = ("mem",)
    beta: Tensor
    raw_beta: Tensor
    threshold: Tensor
    raw_threshold: Tensor
    mem: Tensor | None

    def __init__(
        self,
        num_neurons: int,
        beta: Value = 0.5,
        threshold: Value = 1.0,
        dim: int = -1,
        *,
        beta_rank: int = 0,
        threshold_rank: int = 0,
        learn_beta: bool = True,
        learn_threshold: bool = False,
        spike_fn: str | SpikeFn = "arctan",
        quant_fn: str | QuantFn = "bernoulli",
        detach_reset: bool = False,
        backend: str = "auto",
    ) -> None:
        firing = Firing.of(spike_fn, quant_fn)
        self.noises = int(firing.stochastic)
        self.neuron = partial(plif_step, firing=firing, detach_reset=detach_reset)
        super().__init__(num_neurons, dim, backend=backend)
        self.add_parameter("beta", beta, "decay", rank=beta_rank, learn=learn_beta)
        self.add_parameter("threshold", threshold, "threshold", rank=threshold_rank, learn=learn_threshold)
