"""Parametric leaky integrate-and-fire neurons (PLIF): a layer learns one time constant."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from bionets.layers.spiking.firing import Firing
from bionets.layers.spiking.neuron_layer import NeuronLayer, ParameterSpec


def plif_step(x: Tensor, state: Any, params: Any, *, firing: Firing, detach_reset: bool) -> tuple[Tensor, Tensor]:
    """u = β·mem + (1 − β)·x, o = firing(u − θ), mem' = u·(1 − o)."""
    mem = params.beta * state.mem + (1 - params.beta) * x
    spike = firing(mem - params.threshold, state.noise)
    return spike, mem * (1 - (spike.detach() if detach_reset else spike))


class PLIF(NeuronLayer):
    """Parametric leaky integrate-and-fire neurons (Fang et al., ICCV 2021, eq. 4 to 8 with V_reset = 0).

    u = β·mem + (1 − β)·x
    o = quant_fn(spike_fn(u − θ))
    mem' = u·(1 − o)
    y = o

    With β = 1 − 1/τ; by default one learned β for the layer and a fixed θ. A spike resets the membrane to 0. The
    state `mem` starts at 0.

    Args:
        num_neurons: size of the axis ``dim``.
        beta: decay of the membrane, by default 0.5 (τ = 2).
        threshold: threshold, by default 1.
        dim, beta_rank, threshold_rank, learn_beta, learn_threshold, quant_fn, backend: as in `LIB`.
        spike_fn: as in `LIB`; by default a hard spike with the derivative of an arc tangent.
        detach_reset: whether the reset is detached, so that no gradient passes through it.
    """

    state_names = ("mem",)
    specs = (
        ParameterSpec("beta", 0.5, "decay", rank=0),
        ParameterSpec("threshold", 1.0, "threshold", rank=0, learn=False),
    )
    neuron_step = staticmethod(plif_step)
    default_spike_fn = "arctan"
    settings: ClassVar[Mapping[str, Any]] = {"detach_reset": False}
