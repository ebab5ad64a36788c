"""Balanced resonate-and-fire neurons (BRF): damped oscillators that spike at the crest of their oscillation."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from bionets.layers.spiking.constraints import Value
from bionets.layers.spiking.firing import Firing, QuantFn, SpikeFn
from bionets.layers.spiking.spiking_layer import SpikingLayer


def divergence_boundary(omega: Tensor, dt: float) -> Tensor:
    """p(ω) = (−1 + sqrt(1 − (δω)²))/δ: the damping at which the discretised oscillator neither grows nor decays."""
    return (torch.sqrt(1 - (dt * omega) ** 2) - 1) / dt


def brf_step(x: Tensor, state: Any, params: Any, *, firing: Firing, dt: float) -> tuple[Tensor, Any]:
    """b = p(ω) − |b₀| − q, u' = u + δ(b u − ω v + x), v' = v + δ(ω u + b v), s = firing(u' − θ − q), q' = γ q + s."""
    damping = divergence_boundary(params.omega, dt) - params.damping.abs() - state.refractory
    real = state.real + dt * (damping * state.real - params.omega * state.imaginary + x)
    imaginary = state.imaginary + dt * (params.omega * state.real + damping * state.imaginary)
    spike = firing(real - params.threshold - state.refractory, state.noise)
    return spike, (real, imaginary, params.gamma * state.refractory + spike)


class BRF(SpikingLayer):
    """Balanced resonate-and-fire neurons (Higuchi et al. 2024, arXiv 2402.14603, equations 8 to 12).

    b = p(ω) − |b₀| − q with p(ω) = (−1 + sqrt(1 − (δω)²))/δ
    u' = u + δ(b u − ω v + x)
    v' = v + δ(ω u + b v)
    s = quant_fn(spike_fn(u' − θ − q))
    q' = γ q + s
    y = s

    Args:
        num_neurons: entries along ``dim``.
        omega: ω, angular frequency in radians per unit of time, by default 10. dt·|ω| must stay below 1.
        damping: b₀, by default 1.
        gamma: γ, decay of the refractory trace, by default 0.9.
        threshold: θ, by default 1.
        dt: δ, units of time per step, by default 0.01.
        dim, *_rank, learn_*, quant_fn, backend: as in `LIB`.
        spike_fn: as in `LIB`; by default a hard spike with the derivative of two Gaussians.

    Raises:
        ValueError: dt·|ω| of 1 or more.
    """

    state_names = ("real", "imaginary", "refractory")

    def __init__(
        self,
        num_neurons: int,
        omega: Value = 10.0,
        damping: Value = 1.0,
        gamma: Value = 0.9,
        threshold: Value = 1.0,
        dim: int = -1,
        *,
        dt: float = 0.01,
        omega_rank: int = 1,
        damping_rank: int = 1,
        gamma_rank: int = 0,
        threshold_rank: int = 0,
        learn_omega: bool = True,
        learn_damping: bool = True,
        learn_gamma: bool = False,
        learn_threshold: bool = False,
        spike_fn: str | SpikeFn = "multi_gaussian",
        quant_fn: str | QuantFn = "bernoulli",
        backend: str = "auto",
    ) -> None:
        firing = Firing.of(spike_fn, quant_fn)
        self.noises = int(firing.stochastic)
        self.neuron = partial(brf_step, firing=firing, dt=dt)
        super().__init__(num_neurons, dim, backend=backend)
        self.add_parameter("omega", omega, rank=omega_rank, learn=learn_omega)
        self.add_parameter("damping", damping, rank=damping_rank, learn=learn_damping)
        self.add_parameter("gamma", gamma, "decay", rank=gamma_rank, learn=learn_gamma)
        self.add_parameter("threshold", threshold, "threshold", rank=threshold_rank, learn=learn_threshold)
        if not bool((dt * self.omega.abs() < 1).all()):  # type: ignore[operator]
            raise ValueError(f"BRF: dt·|omega| must be below 1, got dt={dt} and omega={omega}")
