"""minGRU and minLSTM: gated cells whose gates depend only on the input, so that they are linear in their state."""

from collections.abc import Callable
from functools import partial
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


def _over_time(
    x: Tensor, states: States, parameters: Parameters, *, step: Callable[..., Any], parts: int, **options: Any
) -> tuple[Tensor, States]:
    drive = project(x, parameters["weight_ih"], parameters.get("bias"))
    output, h = scan(step, split_gates(drive, parts), states[0], (), **options)
    return output, (h,)


def _recurrence(step: Callable[..., Any], parts: int) -> Recurrence:
    """The recurrence of a step that reads this number of projections of the input."""
    return Recurrence(
        states=("h0",),
        parameter_shapes=lambda I, H: {"weight_ih": (parts * H, I), "bias": (parts * H,)},
        over_time=partial(_over_time, step=step, parts=parts),
        initialisations={"uniform": linear_uniform},
    )


_MIN_GRU, _MIN_LSTM = _recurrence(min_gru_step, 2), _recurrence(min_lstm_step, 3)


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
