"""Long expressive memory (LEM): two coupled states whose time steps are gates."""

from typing import Any

import torch
from torch import Tensor

from bionets.layers.precision import constant
from bionets.layers.recurrent.initialisation import linear_uniform
from bionets.layers.recurrent.recurrence import Parameters, Recurrence, States
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.scan import dense_scan, project, split_gates

Four = tuple[Tensor, Tensor, Tensor, Tensor]
Three = tuple[Tensor, Tensor, Tensor]


def lem_memory_step(
    x: Four, recurrent: Three, state: tuple[Tensor, Tensor], params: tuple[Tensor]
) -> tuple[None, Three]:
    """d_z = dt·σ(x_1 + W_1 y), d_y = dt·σ(x_2 + W_2 y), z' = (1 − d_z)∘z + d_z∘tanh(x_z + W_z y). Passes on d_y.

    recurrent: W_1 y, W_2 y, W_z y. state: y, z. params: dt.
    """
    y, z = state
    (dt,) = params
    step_z = dt * torch.sigmoid(x[0] + recurrent[0])
    step_y = dt * torch.sigmoid(x[1] + recurrent[1])
    z = z + step_z * (torch.tanh(x[2] + recurrent[2]) - z)
    return None, (z, y, step_y)


def lem_output_step(
    x: Four, recurrent: Tensor, state: Three, params: tuple[Tensor]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """y' = (1 − d_y)∘y + d_y∘tanh(x_y + W_y z'). recurrent: W_y z'. state: z', y, d_y."""
    z, y, step_y = state
    y = y + step_y * (torch.tanh(x[3] + recurrent) - y)
    return y, (y, z)


def _over_time(
    x: Tensor, states: States, parameters: Parameters, *, dt: float, **options: Any
) -> tuple[Tensor, States]:
    return dense_scan(
        (lem_memory_step, lem_output_step),
        split_gates(project(x, parameters["weight_ih"], parameters.get("bias")), 4),
        (states[0], states[1]),
        (constant(dt, x),),
        (parameters["weight_hh"], parameters["weight_zh"]),
        **options,
    )


_LEM = Recurrence(
    states=("y0", "z0"),
    parameter_shapes=lambda I, H: {
        "weight_ih": (4 * H, I),
        "weight_hh": (3 * H, H),
        "weight_zh": (H, H),
        "bias": (4 * H,),
    },
    over_time=_over_time,
    initialisations={"uniform": linear_uniform},
    constants={"dt": 1.0},
    positive=("dt",),
)


class LEM(RecurrentLayer):
    """Long expressive memory over a sequence, with the interface of `torch.nn.LSTM` (Rusch et al. 2022, arXiv
    2110.04744, equation 3).

    d_z = dt·σ(V_1 x + W_1 y + b_1), d_y = dt·σ(V_2 x + W_2 y + b_2),
    z' = (1 − d_z)∘z + d_z∘tanh(V_z x + W_z y + b_z), y' = (1 − d_y)∘y + d_y∘tanh(V_y x + W_y z' + b_y).

    Parameters per layer k and direction: `weight_ih_l{k}` `[4H, I]` (V_1, V_2, V_z, V_y), `weight_hh_l{k}` `[3H, H]`
    (W_1, W_2, W_z), `weight_zh_l{k}` `[H, H]` (W_y), `bias_l{k}` `[4H]`. The states are a tuple (y, z); the output is
    y'.

    Constant: `dt` (default 1, largest time step). initialisation: `uniform` (as `torch.nn.Linear`; the authors draw all
    parameters from U(−1/√H, 1/√H)).
    """

    recurrence = _LEM


class LEMCell(RecurrentCell):
    """One step of `LEM`, with the interface of `torch.nn.LSTMCell`; states (y, z)."""

    recurrence = _LEM
