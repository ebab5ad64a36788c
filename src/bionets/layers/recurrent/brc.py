"""Bistable recurrent cell (BRC), in which each unit has a recurrent connection only to itself."""

from typing import Any

from torch import Tensor, nn

from bionets.layers.recurrent.bistable import BistableLayer, bistable_initialisations, bistable_update
from bionets.layers.recurrent.recurrence import Parameters, Recurrence, States, gate_biases
from bionets.layers.recurrent.recurrent_cell import RecurrentCell
from bionets.scan import project, scan, split_gates


def brc_step(
    x: tuple[Tensor, Tensor, Tensor], h: Tensor, params: tuple[Tensor, Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """One step: a = 1 + tanh(U_a x + w_a∘h + b_a), c = σ(U_c x + w_c∘h + b_c), h' = c∘h + (1 − c)∘tanh(U_h x + a∘h).

    x: U_h x, U_a x, U_c x, each `[B, H]`. params: w_a, w_c, b_a, b_c.
    """
    candidate, a, c = x
    w_a, w_c, b_a, b_c = params
    h = bistable_update(candidate, a + w_a * h + b_a, c + w_c * h + b_c, h)
    return h, h


def _over_time(x: Tensor, states: States, parameters: Parameters, **options: Any) -> tuple[Tensor, States]:
    params = (*parameters["weight_hh"].unflatten(0, (2, -1)).unbind(), *gate_biases(parameters, 2))
    output, h = scan(brc_step, split_gates(project(x, parameters["weight_ih"]), 3), states[0], params, **options)
    return output, (h,)


_BRC = Recurrence(
    states=("h0",),
    parameter_shapes=lambda I, H: {"weight_ih": (3 * H, I), "weight_hh": (2 * H,), "bias": (2 * H,)},
    over_time=_over_time,
    initialisations=bistable_initialisations(paper2020=nn.init.ones_, paper2021=nn.init.ones_),
)


class BRC(BistableLayer):
    """Bistable recurrent cell over a sequence, with the interface of `torch.nn.GRU` (Vecoven et al. 2021).

    a = 1 + tanh(U_a x + w_a∘h + b_a), c = σ(U_c x + w_c∘h + b_c), h' = c∘h + (1 − c)∘tanh(U_h x + a∘h).

    Parameters per layer k and direction: `weight_ih_l{k}` `[3H, I]` (U_h, U_a, U_c), `weight_hh_l{k}` `[2H]` (w_a,
    w_c), `bias_l{k}` `[2H]` (b_a, b_c).

    initialisation: `paper2020` (default; w = 1, b = 0), `paper2021` (the same for a BRC), `bistable` (a > 1 at h = 0)
    or `chrono` (time constants up to `chrono_steps`); see `bistable_initialisations`. backend: of `bionets.scan.scan`.
    """

    recurrence = _BRC


class BRCCell(RecurrentCell):
    """One step of `BRC`, with the interface of `torch.nn.GRUCell`: `weight_ih` `[3H, I]`, `weight_hh` `[2H]`, `bias`
    `[2H]`."""

    recurrence = _BRC
