"""Spike recurrent cell (SRC): a gated recurrent cell whose output is a spike train, without a threshold."""

from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.precision import constant
from bionets.layers.recurrent.initialisation import linear_uniform
from bionets.layers.recurrent.recurrence import Parameters, Recurrence, States
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.scan import project, scan

Three = tuple[Tensor, Tensor, Tensor]


def src_step(x: Tensor, state: Three, params: tuple[Tensor, ...]) -> tuple[Tensor, Three]:
    """i' = α i + x, h' = tanh(ρ tanh(i'/ρ) + r h + r_s s + b), z = z_hyp + (z_dep − z_hyp)·σ(10 (h − 1/2)),
    s' = z∘s + (1 − z)∘h, output relu(h').

    state: the synaptic current i, the fast state h, the slow state s. params: b, α, ρ, r, r_s, z_hyp, z_dep.
    """
    current, fast, slow = state
    bias, alpha, rho, r, r_slow, z_hyper, z_deep = params
    current = alpha * current + x
    new_fast = torch.tanh(rho * torch.tanh(current / rho) + r * fast + r_slow * slow + bias)
    z = z_hyper + (z_deep - z_hyper) * torch.sigmoid(10 * (fast - 0.5))
    slow = z * slow + (1 - z) * fast
    return torch.relu(new_fast), (current, new_fast, slow)


_CONSTANTS = {"alpha": 0.9, "rho": 3.0, "r": 2.0, "r_slow": -7.0, "z_hyperpolarised": 0.9, "z_depolarised": 0.0}


def _over_time(x: Tensor, states: States, parameters: Parameters, **options: Any) -> tuple[Tensor, States]:
    constants = tuple(constant(options.pop(name), x) for name in _CONSTANTS)
    params = (parameters["excitability"], *constants)
    return scan(src_step, project(x, parameters["weight_ih"]), tuple(states), params, **options)


def _initialisation(parameters: Parameters, _: int | None) -> None:
    linear_uniform(parameters, None)
    nn.init.constant_(parameters["excitability"], -6.0)


_SRC = Recurrence(
    states=("current0", "fast0", "slow0"),
    parameter_shapes=lambda I, H: {"weight_ih": (H, I), "excitability": (H,)},
    over_time=_over_time,
    initialisations={"paper": _initialisation},
    constants=_CONSTANTS,
    positive=("rho",),
)


class SRC(RecurrentLayer):
    """Spike recurrent cell over a sequence, with the interface of `torch.nn.LSTM` (De Geeter, Ernst and Drion 2023,
    arXiv 2306.03623).

    i' = α i + W x, h' = tanh(ρ tanh(i'/ρ) + r h + r_s s + b), z = z_hyp + (z_dep − z_hyp)·σ(10 (h − 1/2)), s' = z∘s +
    (1 − z)∘h; the output is relu(h'), which is a spike while h' > 0.

    Parameters per layer k and direction: `weight_ih_l{k}` `[H, I]` (W), `excitability_l{k}` `[H]` (b). The states are a
    tuple (i, h, s). `bias` has no effect.

    Constants: `alpha` (default 0.9), `rho` (3), `r` (2), `r_slow` (−7), `z_hyperpolarised` (0.9), `z_depolarised` (0).
    initialisation: `paper` (W as `torch.nn.Linear`, b = −6).
    """

    recurrence = _SRC


class SRCCell(RecurrentCell):
    """One step of `SRC`; states (i, h, s). The output of the step is relu(h)."""

    recurrence = _SRC
