"""Long short-term memory (LSTM), with the parameters and results of `torch.nn.LSTM`."""

from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.recurrent.initialisation import chrono_bias_, hidden_uniform
from bionets.layers.recurrent.recurrence import Parameters, Recurrence, States, gate_biases, required_bias
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.scan import dense_scan, project, split_gates

Four = tuple[Tensor, Tensor, Tensor, Tensor]


def lstm_step(
    x: Four, recurrent: Four, state: tuple[Tensor, Tensor], params: Four
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """One step: i = σ(U_i x + W_i h + b_i), f = σ(U_f x + W_f h + b_f), g = tanh(U_g x + W_g h + b_g), o = σ(U_o x +
    W_o h + b_o), c' = f∘c + i∘g, h' = o∘tanh(c').

    x: U x, recurrent: W h, params: b, each for i, f, g, o. state: h, c.
    """
    i, f, g, o = (x[gate] + recurrent[gate] + params[gate] for gate in range(4))
    _, c = state
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, (h, c)


def _over_time(x: Tensor, states: States, parameters: Parameters, **options: Any) -> tuple[Tensor, States]:
    gates = split_gates(project(x, parameters["weight_ih"]), 4)
    biases = tuple(map(torch.add, gate_biases(parameters, 4, "bias_ih"), gate_biases(parameters, 4, "bias_hh")))
    return dense_scan(lstm_step, gates, (states[0], states[1]), biases, parameters["weight_hh"], **options)


def _chrono(parameters: Parameters, chrono_steps: int | None) -> None:
    hidden_uniform(parameters, None)
    bias_i, bias_f, _, _ = required_bias(parameters, "chrono", "bias_ih").chunk(4)
    nn.init.zeros_(parameters["bias_hh"])
    chrono_bias_(bias_f, chrono_steps)
    bias_i.copy_(-bias_f)


_LSTM = Recurrence(
    states=("h0", "c0"),
    parameter_shapes=lambda I, H: {
        "weight_ih": (4 * H, I),
        "weight_hh": (4 * H, H),
        "bias_ih": (4 * H,),
        "bias_hh": (4 * H,),
    },
    over_time=_over_time,
    initialisations={"uniform": hidden_uniform, "chrono": _chrono},
)


class LSTM(RecurrentLayer):
    """Long short-term memory over a sequence, with the interface, parameters and results of `torch.nn.LSTM` (Hochreiter
    & Schmidhuber 1997, with the forget gate of Gers et al. 2000), also for sequences of different lengths and resets.

    i = σ(U_i x + b_ii + W_i h + b_hi), f = σ(U_f x + b_if + W_f h + b_hf), g = tanh(U_g x + b_ig + W_g h + b_hg),
    o = σ(U_o x + b_io + W_o h + b_ho), c' = f∘c + i∘g, h' = o∘tanh(c').

    Parameters per layer k and direction, as in `torch.nn.LSTM`, with rows i, f, g, o: `weight_ih_l{k}` `[4H, I]`,
    `weight_hh_l{k}` `[4H, H]`, `bias_ih_l{k}` and `bias_hh_l{k}` `[4H]`. The states are a tuple (h, c). There is no
    `proj_size`.

    initialisation: `uniform` (default; all parameters from U(−1/√H, 1/√H), as in `torch.nn.LSTM`) or `chrono` (as
    `uniform`, with b_if = log u, b_ii = −b_if, u ~ U(1, chrono_steps − 1), and all other biases 0; Tallec & Ollivier
    2018). backend: of `bionets.scan.dense_scan`.
    """

    recurrence = _LSTM


class LSTMCell(RecurrentCell):
    """One step of `LSTM`, with the interface and parameters of `torch.nn.LSTMCell`; states (h, c)."""

    recurrence = _LSTM
