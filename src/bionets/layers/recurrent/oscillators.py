"""Recurrent cells of coupled and of independent oscillators: coRNN and UnICORNN."""

from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.precision import at_least_float32, constant
from bionets.layers.recurrent.initialisation import linear_uniform
from bionets.layers.recurrent.recurrence import Parameters, Recurrence, States
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.scan import dense_scan, project, scan

Two = tuple[Tensor, Tensor]
Three = tuple[Tensor, Tensor, Tensor]


def cornn_position_stage(x: Tensor, recurrent: Tensor, state: Two, params: Three) -> tuple[None, Three]:
    """Pass on W y, so that the next stage multiplies z. recurrent: W y. state: y, z."""
    y, z = state
    return None, (z, y, recurrent)


def cornn_step(x: Tensor, recurrent: Tensor, state: Three, params: Three) -> tuple[Tensor, Two]:
    """z' = z + dt·(tanh(W y + 𝒲 z + x) − γ y − ε z), y' = y + dt·z'.

    recurrent: 𝒲 z. state: z, y, W y. params: dt, γ, ε.
    """
    z, y, from_position = state
    dt, gamma, epsilon = params
    z = z + dt * (torch.tanh(from_position + recurrent + x) - gamma * y - epsilon * z)
    y = y + dt * z
    return y, (y, z)


def unicornn_step(x: Tensor, state: Two, params: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Two]:
    """z' = z − d·(tanh(w∘y + x) + α y), y' = y + d·z', d = dt·σ(c). params: w, d, α."""
    y, z = state
    weight, step, alpha = params
    z = z - step * (torch.tanh(weight * y + x) + alpha * y)
    y = y + step * z
    return y, (y, z)


def _cornn(
    x: Tensor, states: States, parameters: Parameters, *, dt: float, gamma: float, epsilon: float, **options: Any
) -> tuple[Tensor, States]:
    return dense_scan(
        (cornn_position_stage, cornn_step),
        project(x, parameters["weight_ih"], parameters.get("bias")),
        (states[0], states[1]),
        tuple(constant(value, x) for value in (dt, gamma, epsilon)),
        (parameters["weight_hh"], parameters["weight_zh"]),
        **options,
    )


def _unicornn(
    x: Tensor, states: States, parameters: Parameters, *, dt: float, alpha: float, **options: Any
) -> tuple[Tensor, States]:
    drive = project(x, parameters["weight_ih"], parameters.get("bias"))
    step = dt * torch.sigmoid(at_least_float32(parameters["time_scale"]))
    params = (parameters["weight_hh"], step, constant(alpha, x))
    return scan(unicornn_step, drive, (states[0], states[1]), params, **options)


def _unicornn_initialisation(parameters: Parameters, _: int | None) -> None:
    linear_uniform(parameters, None)
    nn.init.uniform_(parameters["weight_hh"], 0.0, 1.0)
    nn.init.uniform_(parameters["time_scale"], -0.1, 0.1)


_CORNN = Recurrence(
    states=("y0", "z0"),
    parameter_shapes=lambda I, H: {"weight_ih": (H, I), "weight_hh": (H, H), "weight_zh": (H, H), "bias": (H,)},
    over_time=_cornn,
    initialisations={"uniform": linear_uniform},
    constants={"dt": 0.042, "gamma": 2.7, "epsilon": 4.7},
    positive=("dt",),
)
_UNICORNN = Recurrence(
    states=("y0", "z0"),
    parameter_shapes=lambda I, H: {"weight_ih": (H, I), "weight_hh": (H,), "time_scale": (H,), "bias": (H,)},
    over_time=_unicornn,
    initialisations={"uniform": _unicornn_initialisation},
    constants={"dt": 0.1, "alpha": 10.0},
    positive=("dt",),
)


class CoRNN(RecurrentLayer):
    """Coupled oscillatory recurrent network over a sequence, with the interface of `torch.nn.LSTM` (Rusch and Mishra
    2021, arXiv 2010.00951, equation 3, with explicit damping).

    z' = z + dt·(tanh(W y + 𝒲 z + V x + b) − γ y − ε z), y' = y + dt·z'; the output is y'.

    Parameters per layer k and direction: `weight_ih_l{k}` `[H, I]` (V), `weight_hh_l{k}` `[H, H]` (W), `weight_zh_l{k}`
    `[H, H]` (𝒲), `bias_l{k}` `[H]`. The states are a tuple (y, z).

    Constants: `dt` (default 0.042, time step), `gamma` (2.7, squared frequency), `epsilon` (4.7, damping).
    initialisation: `uniform` (as `torch.nn.Linear`).
    """

    recurrence = _CORNN


class CoRNNCell(RecurrentCell):
    """One step of `CoRNN`, with the interface of `torch.nn.LSTMCell`; states (y, z)."""

    recurrence = _CORNN


class UnICORNN(RecurrentLayer):
    """Undamped independent controlled oscillators over a sequence, with the interface of `torch.nn.LSTM` (Rusch and
    Mishra 2021, arXiv 2103.05487, equation 6).

    d = dt·σ(c), z' = z − d∘(tanh(w∘y + V x + b) + α y), y' = y + d∘z'; the output is y'.

    Parameters per layer k and direction: `weight_ih_l{k}` `[H, I]` (V), `weight_hh_l{k}` `[H]` (w), `time_scale_l{k}`
    `[H]` (c), `bias_l{k}` `[H]`. The states are a tuple (y, z).

    Constants: `dt` (default 0.1, largest time step), `alpha` (10, squared frequency of a unit without input).
    initialisation: `uniform` (V as `torch.nn.Linear`, w from U(0, 1), c from U(−0.1, 0.1)).
    """

    recurrence = _UNICORNN


class UnICORNNCell(RecurrentCell):
    """One step of `UnICORNN`, with the interface of `torch.nn.LSTMCell`; states (y, z)."""

    recurrence = _UNICORNN
