"""Linear recurrent unit (LRU): a diagonal complex recurrence with a learnt decay and frequency for each unit."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bionets.layers.precision import at_least_float32
from bionets.layers.recurrent.recurrence import Parameters, Recurrence, States
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.scan import project, scan, split_gates

Two = tuple[Tensor, Tensor]


def lru_step(x: Two, state: Two, params: Two) -> tuple[Two, Two]:
    """s' = λ∘s + x for complex s, λ and x, each a pair of its real and its imaginary part."""
    real, imaginary = state
    x_real, x_imaginary = x
    decay_real, decay_imaginary = params
    new = (
        decay_real * real - decay_imaginary * imaginary + x_real,
        decay_real * imaginary + decay_imaginary * real + x_imaginary,
    )
    return new, new


def _over_time(x: Tensor, states: States, parameters: Parameters, **options: Any) -> tuple[Tensor, States]:
    weight_ih = parameters["weight_ih"]
    logarithms = (parameters[name] for name in ("log_nu", "log_theta", "log_gamma"))
    nu, theta, gamma = (at_least_float32(logarithm).exp() for logarithm in logarithms)
    eigenvalue = (torch.exp(-nu) * torch.cos(theta), torch.exp(-nu) * torch.sin(theta))
    drive = split_gates(project(x, (weight_ih * torch.cat((gamma, gamma)).unsqueeze(1)).to(weight_ih.dtype)), 2)
    memory, last = scan(lru_step, drive, states, eigenvalue, **options)
    output = F.linear(torch.cat(memory, -1), parameters["weight_out"], parameters.get("bias"))
    return output + F.linear(x, parameters["weight_skip"]), last


def _ring(parameters: Parameters, r_min: float, r_max: float, max_phase: float) -> None:
    log_nu, log_theta, log_gamma = (parameters[name].detach() for name in ("log_nu", "log_theta", "log_gamma"))
    # Drawn in at least float32 and above 0, so that all logarithms are finite.
    area, phase = (torch.rand_like(at_least_float32(log_nu)).clamp(min=1e-8) for _ in range(2))
    squared = area * (r_max**2 - r_min**2) + r_min**2  # square of the radius; uniform over the area of the ring
    log_nu.copy_(torch.log(-0.5 * torch.log(squared)))
    log_theta.copy_(torch.log(max_phase * phase))
    log_gamma.copy_(0.5 * torch.log(-torch.expm1(-2 * at_least_float32(log_nu).exp())))
    weight_ih, weight_out, skip = (parameters[name] for name in ("weight_ih", "weight_out", "weight_skip"))
    nn.init.normal_(weight_ih, std=(2 * weight_ih.size(1)) ** -0.5)
    nn.init.normal_(weight_out, std=weight_out.size(0) ** -0.5)
    nn.init.normal_(skip, std=skip.size(1) ** -0.5)
    if "bias" in parameters:
        nn.init.zeros_(parameters["bias"])


_LRU = Recurrence(
    states=("real0", "imaginary0"),
    parameter_shapes=lambda I, H: {
        "weight_ih": (2 * H, I),
        "log_nu": (H,),
        "log_theta": (H,),
        "log_gamma": (H,),
        "weight_out": (H, 2 * H),
        "weight_skip": (H, I),
        "bias": (H,),
    },
    over_time=_over_time,
    initialisations={
        "ring": lambda parameters, _: _ring(parameters, 0.0, 1.0, 2 * math.pi),
        "slow": lambda parameters, _: _ring(parameters, 0.9, 0.999, math.pi / 10),
    },
)


class LRU(RecurrentLayer):
    """Linear recurrent unit over a sequence, with the interface of `torch.nn.LSTM` (Orvieto et al. 2023, arXiv
    2303.06349, equations 2 and 7).

    λ = exp(−ν + iθ), s' = λ∘s + γ∘(B x), y = Re(C s') + D x + b, with ν, θ, γ > 0 stored as logarithms.

    Parameters per layer k and direction: `weight_ih_l{k}` `[2H, I]` (Re B, Im B), `log_nu_l{k}`, `log_theta_l{k}`,
    `log_gamma_l{k}` `[H]`, `weight_out_l{k}` `[H, 2H]` (Re C, −Im C), `weight_skip_l{k}` `[H, I]` (D), `bias_l{k}`
    `[H]`. The states are a tuple (Re s, Im s).

    initialisation: `ring` (default; eigenvalues uniform in the unit disc) or `slow` (radius .9 to .999, phase at most
    π/10). γ starts at sqrt(1 − |λ|²).
    """

    recurrence = _LRU


class LRUCell(RecurrentCell):
    """One step of `LRU`; states (Re s, Im s), which it returns.

    The output is `weight_out`·(Re s, Im s) + `weight_skip`·x + `bias`.
    """

    recurrence = _LRU
