"""LSTM whose gates also depend on the memory cell, through full matrices."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bionets.layers.recurrent.initialisation import chrono_bias_, hidden_uniform, orthogonal_blocks_, xavier_blocks_
from bionets.layers.recurrent.recurrence import Parameters, Recurrence, States, gate_biases, required_bias
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.scan import dense_scan, project, split_gates

Four = tuple[Tensor, Tensor, Tensor, Tensor]


def peephole_memory_step(x: Four, recurrent: Four, state: Four, params: Four) -> tuple[None, tuple[Tensor, Tensor]]:
    """First half: f = σ(U_f x + W_f h + P_f c + b_f), i = σ(U_i x + W_i h + P_i c + b_i), g = tanh(U_g x + W_g h +
    b_g), c' = f∘c + i∘g.

    x: U x, recurrent: W h, params: b, each for f, i, g, o. state: h, c, P_f c, P_i c. Hands on c' and U_o x + W_o h +
    b_o.
    """
    x_f, x_i, x_g, x_o = x
    h_f, h_i, h_g, h_o = recurrent
    b_f, b_i, b_g, b_o = params
    _, c, p_f, p_i = state
    f = torch.sigmoid(x_f + h_f + p_f + b_f)
    i = torch.sigmoid(x_i + h_i + p_i + b_i)
    g = torch.tanh(x_g + h_g + b_g)
    return None, (f * c + i * g, x_o + h_o + b_o)


def peephole_output_step(
    x: Four, recurrent: tuple[Tensor, Tensor, Tensor], state: tuple[Tensor, Tensor], params: Four
) -> tuple[Tensor, Four]:
    """Second half: o = σ(U_o x + W_o h + P_o c' + b_o), h' = o∘tanh(c').

    recurrent: P_f c', P_i c', P_o c'; the first two are kept in the state for the next step. state: c' and U_o x + W_o
    h + b_o.
    """
    p_f, p_i, p_o = recurrent
    c, o = state
    h = torch.sigmoid(o + p_o) * torch.tanh(c)
    return h, (h, c, p_f, p_i)


def _over_time(x: Tensor, states: States, parameters: Parameters, **options: Any) -> tuple[Tensor, States]:
    h, c = states
    p_f, p_i, _ = F.linear(c, parameters["weight_ch"]).chunk(3, dim=-1)
    output, (h, c, _, _) = dense_scan(
        (peephole_memory_step, peephole_output_step),
        split_gates(project(x, parameters["weight_ih"]), 4),
        (h, c, p_f, p_i),
        gate_biases(parameters, 4),
        (parameters["weight_hh"], parameters["weight_ch"]),
        **options,
    )
    return output, (h, c)


def _glorot(parameters: Parameters, chrono_steps: int | None) -> None:
    xavier_blocks_(parameters["weight_ih"], 4)
    orthogonal_blocks_(parameters["weight_hh"], 4)
    xavier_blocks_(parameters["weight_ch"], 3)
    if "bias" in parameters:
        nn.init.zeros_(parameters["bias"]).detach().chunk(4)[0].fill_(1.0)


def _chrono(parameters: Parameters, chrono_steps: int | None) -> None:
    bias_f, bias_i, _, _ = required_bias(parameters, "chrono").chunk(4)
    _glorot(parameters, chrono_steps)
    chrono_bias_(bias_f, chrono_steps)
    bias_i.copy_(-bias_f)


_PEEPHOLE_LSTM = Recurrence(
    states=("h0", "c0"),
    parameter_shapes=lambda I, H: {
        "weight_ih": (4 * H, I),
        "weight_hh": (4 * H, H),
        "weight_ch": (3 * H, H),
        "bias": (4 * H,),
    },
    over_time=_over_time,
    initialisations={"uniform": hidden_uniform, "glorot": _glorot, "chrono": _chrono},
)


class PeepholeLSTM(RecurrentLayer):
    """LSTM with full peephole matrices over a sequence, with the interface of `torch.nn.LSTM` (Gers & Schmidhuber 2000,
    there diagonal).

    f = σ(U_f x + W_f h + P_f c + b_f), i = σ(U_i x + W_i h + P_i c + b_i), g = tanh(U_g x + W_g h + b_g),
    c' = f∘c + i∘g, o = σ(U_o x + W_o h + P_o c' + b_o), h' = o∘tanh(c').

    Parameters per layer k and direction: `weight_ih_l{k}` `[4H, I]`, `weight_hh_l{k}` `[4H, H]` and `bias_l{k}` `[4H]`,
    rows f, i, g, o; `weight_ch_l{k}` `[3H, H]`, rows f, i, o. The states are a tuple (h, c).

    initialisation: `uniform` (default; all parameters from U(−1/√H, 1/√H), as in `nn.LSTM`), `glorot` (Xavier uniform U
    and P, orthogonal W, b_f = 1) or `chrono` (as `glorot`, with b_f = log u, b_i = −b_f, u ~ U(1, chrono_steps − 1);
    Tallec & Ollivier 2018). backend: of `bionets.scan.dense_scan`.
    """

    recurrence = _PEEPHOLE_LSTM


class PeepholeLSTMCell(RecurrentCell):
    """One step of `PeepholeLSTM`, with the interface of `torch.nn.LSTMCell`: `weight_ih`, `weight_hh`, `weight_ch`,
    `bias`; states (h, c)."""

    recurrence = _PEEPHOLE_LSTM
