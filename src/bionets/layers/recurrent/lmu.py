"""Legendre memory unit (LMU): a linear memory of the last θ steps of a scalar, and a nonlinear state that reads it."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy.linalg import expm
from torch import Tensor, nn
from torch.nn import functional as F

from bionets.layers.precision import at_least_float32
from bionets.layers.recurrent.recurrence import Parameters, Recurrence, States
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.scan import dense_scan

Two = tuple[Tensor, Tensor]


def lmu_memory_stage(x: Two, recurrent: Tensor, state: Tensor, params: tuple[Tensor]) -> tuple[None, Tensor]:
    """Write the memory m' = A m + B u, keep h. State: h and m, concatenated; params: 1 in the columns of h, 0 in those
    of m."""
    (is_hidden,) = params
    return None, is_hidden * state + recurrent + x[0]


def lmu_output_stage(x: Two, recurrent: Tensor, state: Tensor, params: tuple[Tensor]) -> tuple[Tensor, Tensor]:
    """h' = tanh(W_x x + W_h h + W_m m' + b), keep m'."""
    (is_hidden,) = params
    state = is_hidden * torch.tanh(recurrent + x[1]) + (1 - is_hidden) * state
    return state, state


def legendre_matrices(order: int, theta: float) -> tuple[Tensor, Tensor]:
    """A `[d, d]` and B `[d]` of the memory, discretised by a zero-order hold for one time step (Voelker et al. 2019,
    equations 1 and 2), float64."""
    a, b = _discretised(order, theta)
    return torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)


@lru_cache(maxsize=16)
def _discretised(order: int, theta: float) -> tuple[list[list[float]], list[float]]:
    """The matrices as Python numbers: a tensor first created within torch.export would remain a fake tensor."""
    n = np.arange(order, dtype=np.float64)
    sign = np.where(n[:, None] < n[None, :], -1.0, (-1.0) ** (n[:, None] - n[None, :] + 1))
    a = (2 * n[:, None] + 1) / theta * sign
    b = (2 * n + 1) * (-1.0) ** n / theta
    discrete_a = expm(a)
    return discrete_a.tolist(), np.linalg.solve(a, (discrete_a - np.eye(order)) @ b).tolist()


def _over_time(
    x: Tensor, states: States, parameters: Parameters, *, theta: float, **options: Any
) -> tuple[Tensor, States]:
    weight_ih, weight_hh, weight_mh = (parameters[name] for name in ("weight_ih", "weight_hh", "weight_mh"))
    e_x, e_h, e_m = (parameters[name] for name in ("encoder_x", "encoder_h", "encoder_m"))
    hidden = weight_ih.size(0)
    a, b = (matrix.to(at_least_float32(weight_ih)) for matrix in legendre_matrices(hidden, theta))
    zeros = weight_hh.new_zeros(hidden, 2 * hidden)
    write = torch.cat((zeros, torch.cat((torch.outer(b, e_h), a + torch.outer(b, e_m)), 1)))
    read = torch.cat((torch.cat((weight_hh, weight_mh), 1), zeros))
    into_memory = F.pad(F.linear(x, torch.outer(b, e_x).to(weight_ih.dtype)), (hidden, 0))
    into_hidden = F.pad(F.linear(x, weight_ih, parameters.get("bias")), (0, hidden))
    is_hidden = F.pad(weight_ih.new_ones(hidden), (0, hidden))
    output, last = dense_scan(
        (lmu_memory_stage, lmu_output_stage),
        (into_memory, into_hidden),
        torch.cat(states, -1),
        (is_hidden,),
        (write, read),
        **options,
    )
    h, m = last.split(hidden, -1)
    return output[..., :hidden], (h, m)


def _initialisation(parameters: Parameters, _: int | None) -> None:
    for name in ("weight_ih", "weight_hh", "weight_mh"):
        nn.init.xavier_normal_(parameters[name])
    for name in ("encoder_x", "encoder_h"):
        encoder = parameters[name]
        nn.init.uniform_(encoder, -((3 / encoder.numel()) ** 0.5), (3 / encoder.numel()) ** 0.5)
    nn.init.zeros_(parameters["encoder_m"])
    if "bias" in parameters:
        nn.init.zeros_(parameters["bias"])


_LMU = Recurrence(
    states=("h0", "m0"),
    parameter_shapes=lambda I, H: {
        "weight_ih": (H, I),
        "weight_hh": (H, H),
        "weight_mh": (H, H),
        "encoder_x": (I,),
        "encoder_h": (H,),
        "encoder_m": (H,),
        "bias": (H,),
    },
    over_time=_over_time,
    initialisations={"paper": _initialisation},
    constants={"theta": 100.0},
    positive=("theta",),
)


class LMU(RecurrentLayer):
    """Legendre memory unit over a sequence, with the interface of `torch.nn.LSTM` (Voelker, Kajić and Eliasmith 2019,
    equations 1 to 7), and a memory of `hidden_size` Legendre coefficients.

    u = e_x·x + e_h·h + e_m·m, m' = A m + B u, h' = tanh(W_x x + W_h h + W_m m' + b); A and B are fixed by θ.

    Parameters per layer k and direction: `weight_ih_l{k}` `[H, I]`, `weight_hh_l{k}`, `weight_mh_l{k}` `[H, H]`,
    `encoder_x_l{k}` `[I]`, `encoder_h_l{k}`, `encoder_m_l{k}` `[H]`, `bias_l{k}` `[H]` (the paper has none). The states
    are a tuple (h, m); the output is h'.

    Constant: `theta` (default 100), the length of the window in time steps. initialisation: `paper` (W Xavier normal,
    e_x and e_h LeCun uniform, e_m = 0).
    """

    recurrence = _LMU


class LMUCell(RecurrentCell):
    """One step of `LMU`, with the interface of `torch.nn.LSTMCell`; states (h, m)."""

    recurrence = _LMU
