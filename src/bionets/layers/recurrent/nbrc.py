"""Recurrently neuromodulated bistable cell (nBRC), in which all units influence the bistability of each unit."""

from functools import partial
from typing import Any

from torch import Tensor

from bionets.layers.recurrent.bistable import BistableLayer, bistable_initialisations, bistable_update
from bionets.layers.recurrent.initialisation import orthogonal_blocks_, xavier_blocks_
from bionets.layers.recurrent.recurrence import Parameters, Recurrence, States, gate_biases
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.scan import dense_scan, project, split_gates


def nbrc_step(
    x: tuple[Tensor, Tensor, Tensor], recurrent: tuple[Tensor, Tensor], h: Tensor, params: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """One step: a = 1 + tanh(U_a x + W_a h + b_a), c = σ(U_c x + W_c h + b_c), h' = c∘h + (1 − c)∘tanh(U_h x + a∘h).

    x: U_h x, U_a x, U_c x, each `[B, H]`. recurrent: W_a h, W_c h. params: b_a, b_c.
    """
    candidate, a, c = x
    w_a_h, w_c_h = recurrent
    b_a, b_c = params
    h = bistable_update(candidate, a + w_a_h + b_a, c + w_c_h + b_c, h)
    return h, h


def _over_time(x: Tensor, states: States, parameters: Parameters, **options: Any) -> tuple[Tensor, States]:
    gates, biases = split_gates(project(x, parameters["weight_ih"]), 3), gate_biases(parameters, 2)
    output, h = dense_scan(nbrc_step, gates, states[0], biases, parameters["weight_hh"], **options)
    return output, (h,)


_NBRC = Recurrence(
    states=("h0",),
    parameter_shapes=lambda I, H: {"weight_ih": (3 * H, I), "weight_hh": (2 * H, H), "bias": (2 * H,)},
    over_time=_over_time,
    initialisations=bistable_initialisations(
        paper2020=partial(orthogonal_blocks_, gates=2), paper2021=partial(xavier_blocks_, gates=2)
    ),
)


class NBRC(BistableLayer):
    """Recurrently neuromodulated bistable cell over a sequence, with the interface of `torch.nn.GRU` (Vecoven et al.
    2021).

    a = 1 + tanh(U_a x + W_a h + b_a), c = σ(U_c x + W_c h + b_c), h' = c∘h + (1 − c)∘tanh(U_h x + a∘h).

    Parameters per layer k and direction: `weight_ih_l{k}` `[3H, I]` (U_h, U_a, U_c), `weight_hh_l{k}` `[2H, H]` (W_a,
    W_c), `bias_l{k}` `[2H]` (b_a, b_c).

    initialisation: `paper2020` (default; W orthogonal, b = 0), `paper2021` (W Xavier uniform), `bistable` (a > 1 at h =
    0) or `chrono` (time constants up to `chrono_steps`); see `bistable_initialisations`. backend: of
    `bionets.scan.dense_scan`.
    """

    recurrence = _NBRC


class NBRCCell(RecurrentCell):
    """One step of `NBRC`, with the interface of `torch.nn.GRUCell`: `weight_ih` `[3H, I]`, `weight_hh` `[2H, H]`,
    `bias` `[2H]`."""

    recurrence = _NBRC
