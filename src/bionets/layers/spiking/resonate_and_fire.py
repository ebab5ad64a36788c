"""Balanced resonate-and-fire neurons (BRF): damped oscillators that spike near the maximum of their oscillation."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from bionets.layers.spiking.firing import Firing
from bionets.layers.spiking.neuron_layer import NeuronLayer, ParameterSpec


def divergence_boundary(omega: Tensor, dt: float) -> Tensor:
    """p(ω) = (−1 + sqrt(1 − (δω)²))/δ: the damping at which the amplitude of the discretised oscillator is constant."""
    return (torch.sqrt(1 - (dt * omega) ** 2) - 1) / dt


def brf_step(x: Tensor, state: Any, params: Any, *, firing: Firing, dt: float) -> tuple[Tensor, Any]:
    """b = p(ω) − |b₀| − q, u' = u + δ(b u − ω v + x), v' = v + δ(ω u + b v), s = firing(u' − θ − q), q' = γ q + s."""
    damping = divergence_boundary(params.omega, dt) - params.damping.abs() - state.refractory
    real = state.real + dt * (damping * state.real - params.omega * state.imaginary + x)
    imaginary = state.imaginary + dt * (params.omega * state.real + damping * state.imaginary)
    spike = firing(real - params.threshold - state.refractory, state.noise)
    return spike, (real, imaginary, params.gamma * state.refractory + spike)


class BRF(NeuronLayer):
    """Balanced resonate-and-fire neurons (Higuchi et al. 2024, arXiv 2402.14603, equations 8 to 12).

    b = p(ω) − |b₀| − q with p(ω) = (−1 + sqrt(1 − (δω)²))/δ
    u' = u + δ(b u − ω v + x)
    v' = v + δ(ω u + b v)
    s = quant_fn(spike_fn(u' − θ − q))
    q' = γ q + s
    y = s

    The states `real` (u), `imaginary` (v) and `refractory` (q) start at 0.

    Args:
        num_neurons: size of the axis ``dim``.
        omega: ω, angular frequency in radians per unit of time, by default 10. dt·|ω| must stay below 1.
        damping: b₀, by default 1.
        gamma: γ, decay of the refractory trace, by default 0.9; one value per layer, not learned.
        threshold: θ, by default 1; one value per layer, not learned.
        dt: δ, units of time per step, by default 0.01.
        dim, *_rank, learn_*, quant_fn, backend: as in `LIB`.
        spike_fn: as in `LIB`; by default a hard spike with the derivative ``multi_gaussian``, a sum of three Gaussians.

    Raises:
        ValueError: dt is not above 0, or dt·|ω| is 1 or more.
    """

    state_names = ("real", "imaginary", "refractory")
    specs = (
        ParameterSpec("omega", 10.0),
        ParameterSpec("damping", 1.0),
        ParameterSpec("gamma", 0.9, "decay", rank=0, learn=False),
        ParameterSpec("threshold", 1.0, "threshold", rank=0, learn=False),
    )
    neuron_step = staticmethod(brf_step)
    default_spike_fn = "multi_gaussian"
    settings: ClassVar[Mapping[str, Any]] = {"dt": 0.01}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        dt, largest = self.neuron.keywords["dt"], self.omega.detach().abs().max()  # type: ignore[attr-defined]
        if not dt > 0:
            raise ValueError(f"BRF: dt must be above 0, got {dt}")
        if not largest.is_meta and not dt * largest < 1:
            raise ValueError(f"BRF: dt·|omega| must be below 1, got dt={dt} and an omega of {largest:g}")
