"""Gated recurrent unit (GRU), with the parameters and results of `torch.nn.GRU`."""

from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.recurrent.initialisation import chrono_bias_, hidden_uniform
from bionets.layers.recurrent.recurrence import Parameters, Recurrence, States, gate_biases, required_bias
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.scan import dense_scan, project, split_gates

Three = tuple[Tensor, Tensor, Tensor]


def gru_step(
    x: Three, recurrent: Three, h: Tensor, params: tuple[Tensor, Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """One step: r = σ(U_r x + W_r h + b_r), z = σ(U_z x + W_z h + b_z), n = tanh(U_n x + b_in + r∘(W_n h + b_hn)),
    h' = (1 − z)∘n + z∘h.

    x: U_r x, U_z x, U_n x. recurrent: W_r h, W_z h, W_n h. params: b_r, b_z, b_in, b_hn.
    """
    b_r, b_z, b_in, b_hn = params
    r = torch.sigmoid(x[0] + recurrent[0] + b_r)
    z = torch.sigmoid(x[1] + recurrent[1] + b_z)
    n = torch.tanh(x[2] + b_in + r * (recurrent[2] + b_hn))
    h = n + z * (h - n)
    return h, h


def _over_time(x: Tensor, states: States, parameters: Parameters, **options: Any) -> tuple[Tensor, States]:
    gates = split_gates(project(x, parameters["weight_ih"]), 3)
    b_ir, b_iz, b_in = gate_biases(parameters, 3, "bias_ih")
    b_hr, b_hz, b_hn = gate_biases(parameters, 3, "bias_hh")
    biases = (b_ir + b_hr, b_iz + b_hz, b_in, b_hn)
    output, h = dense_scan(gru_step, gates, states[0], biases, parameters["weight_hh"], **options)
    return output, (h,)


def _chrono(parameters: Parameters, chrono_steps: int | None) -> None:
    hidden_uniform(parameters, None)
    _, bias_z, _ = required_bias(parameters, "chrono", "bias_ih").chunk(3)
    nn.init.zeros_(parameters["bias_hh"])
    chrono_bias_(bias_z, chrono_steps)


_GRU = Recurrence(
    states=("h0",),
    parameter_shapes=lambda I, H: {
        "weight_ih": (3 * H, I),
        "weight_hh": (3 * H, H),
        "bias_ih": (3 * H,),
        "bias_hh": (3 * H,),
    },
    over_time=_over_time,
    initialisations={"uniform": hidden_uniform, "chrono": _chrono},
)


class GRU(RecurrentLayer):
    """Gated recurrent unit over a sequence, with the interface, parameters and results of `torch.nn.GRU` (Cho et al.
    2014), also for sequences of different lengths and resets.

    r = σ(U_r x + b_ir + W_r h + b_hr), z = σ(U_z x + b_iz + W_z h + b_hz), n = tanh(U_n x + b_in + r∘(W_n h + b_hn)),
    h' = (1 − z)∘n + z∘h.

    Parameters per layer k and direction, as in `torch.nn.GRU`, with rows r, z, n: `weight_ih_l{k}` `[3H, I]`,
    `weight_hh_l{k}` `[3H, H]`, `bias_ih_l{k}` and `bias_hh_l{k}` `[3H]`.

    initialisation: `uniform` (default; all parameters from U(−1/√H, 1/√H), as in `torch.nn.GRU`) or `chrono` (as
    `uniform`, with b_iz = log u, u ~ U(1, chrono_steps − 1), and all other biases 0; Tallec & Ollivier 2018). backend:
    of `bionets.scan.dense_scan`.
    """

    recurrence = _GRU


class GRUCell(RecurrentCell):
    """One step of `GRU`, with the interface and parameters of `torch.nn.GRUCell`."""

    recurrence = _GRU
