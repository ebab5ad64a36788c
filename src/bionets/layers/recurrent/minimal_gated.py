"""minGRU and minLSTM: gated cells whose gates depend only on the input, so that they are linear in their state."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bionets.layers.recurrent.initialisation import linear_uniform
from bionets.layers.recurrent.recurrence import Parameters, Recurrence, States
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.scan import project, scan, split_gates


def min_gru_step(x: tuple[Tensor, Tensor], h: Tensor, params: tuple[()]) -> tuple[Tensor, Tensor]:
    """h' = (1 − z)∘h + z∘v with z = σ(first part of x) and v the second part of x."""
    z, candidate = x
    h = h + torch.sigmoid(z) * (candidate - h)
    return h, h


def min_lstm_step(x: tuple[Tensor, Tensor, Tensor], h: Tensor, params: tuple[()]) -> tuple[Tensor, Tensor]:
    """h' = f'∘h + i'∘v with f' = f/(f + i), i' = i/(f + i), f = σ(x_f), i = σ(x_i); x: x_f, x_i, v.

    f' = σ(softplus(−x_i) − softplus(−x_f)) is the same number, without 0/0 if both gates are closed.
    """
    f, i, candidate = x
    f = torch.sigmoid(F.softplus(-i) - F.softplus(-f))
    h = candidate + f * (h - candidate)
    return h, h


def _min_gru(x: Tensor, states: States, parameters: Parameters, **options: Any) -> tuple[Tensor, States]:
    gates = project(x, parameters["weight_ih"], parameters.get("bias"))
    output, h = scan(min_gru_step, split_gates(gates, 2), states[0], (), **options)
    return output, (h,)


def _min_lstm(x: Tensor, states: States, parameters: Parameters, **options: Any) -> tuple[Tensor, States]:
    gates = project(x, parameters["weight_ih"], parameters.get("bias"))
    output, h = scan(min_lstm_step, split_gates(gates, 3), states[0], (), **options)
    return output, (h,)


_MIN_GRU = Recurrence(
    states=("h0",),
    parameter_shapes=lambda I, H: {"weight_ih": (2 * H, I), "bias": (2 * H,)},
    over_time=_min_gru,
    initialisations={"uniform": linear_uniform},
)
_MIN_LSTM = Recurrence(
    states=("h0",),
    parameter_shapes=lambda I, H: {"weight_ih": (3 * H, I), "bias": (3 * H,)},
    over_time=_min_lstm,
    initialisations={"uniform": linear_uniform},
)


class MinGRU(RecurrentLayer):
    """minGRU over a sequence, with the interface of `torch.nn.GRU` (Feng et al. 2024, arXiv 2410.01201, section 3.1).

    z = σ(W_z x + b_z), v = W_v x + b_v, h' = (1 − z)∘h + z∘v.

    Parameters per layer k and direction: `weight_ih_l{k}` `[2H, I]` (W_z, W_v), `bias_l{k}` `[2H]`.
    initialisation: `uniform` (as `torch.nn.Linear`).
    """

    recurrence = _MIN_GRU


class MinGRUCell(RecurrentCell):
    """One step of `MinGRU`, with the interface of `torch.nn.GRUCell`."""

    recurrence = _MIN_GRU


class MinLSTM(RecurrentLayer):
    """minLSTM over a sequence, with the interface of `torch.nn.GRU` (Feng et al. 2024, arXiv 2410.01201, section 3.2).

    f = σ(W_f x + b_f), i = σ(W_i x + b_i), v = W_v x + b_v, h' = (f∘h + i∘v)/(f + i).

    Parameters per layer k and direction: `weight_ih_l{k}` `[3H, I]` (W_f, W_i, W_v), `bias_l{k}` `[3H]`.
    initialisation: `uniform` (as `torch.nn.Linear`). It has one state.
    """

    recurrence = _MIN_LSTM


class MinLSTMCell(RecurrentCell):
    """One step of `MinLSTM`, with the interface of `torch.nn.GRUCell`."""

    recurrence = _MIN_LSTM
