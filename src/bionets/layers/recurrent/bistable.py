"""Common code of both bistable cells: state update, parameter layout, initialisations."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bionets.layers.recurrent.initialisation import chrono_bias_, xavier_blocks_
from bionets.layers.recurrent.recurrence import Initialisation, Parameters, required_bias


def bistable_update(candidate: Tensor, a: Tensor, c: Tensor, h: Tensor) -> Tensor:
    """h' = c∘h + (1 − c)∘tanh(candidate + a∘h) with a = 1 + tanh(a's drive), c = σ(c's drive) (Vecoven et al. 2021).

    Without input, h = 0 is the only fixed point for a < 1. At a = 1 there is a pitchfork bifurcation; for a > 1 there
    are two stable fixed points ±h* with h* = tanh(a·h*).
    """
    a = 1 + torch.tanh(a)
    c = torch.sigmoid(c)
    return c * h + (1 - c) * torch.tanh(candidate + a * h)


def bistable_initialisations(
    paper2020: Callable[[Tensor], object], paper2021: Callable[[Tensor], object]
) -> dict[str, Initialisation]:
    """The initialisations of a bistable cell by name, for the initialisation of `weight_hh` in each release of the
    paper.

    In all initialisations, U is Xavier uniform for each gate.

    - `paper2020`, `paper2021`: biases 0. Every unit starts at the bifurcation: a = 1 at h = 0.
    - `bistable`: as `paper2020`, with b_a = 2 and b_c = −1. At h = 0, a = 1 + tanh(2) ≈ 1.96, so every unit stores a
      sign from the first training step. In a BRC, |w_a∘h| ≤ 1 is smaller than b_a, so that a > 1 in both stable states;
      in an nBRC, an entry of W_a h may be as large as √H. Near h = 0 the state grows by the factor c + (1 − c)∘a ≈ 1.7
      per step, which is the weight of an input relative to the next one.
    - `chrono`: as `paper2020`, with b_c = log u, u ~ U(1, chrono_steps − 1). With this c, the share of the state that
      is kept, the time constants of the units cover the length of the task (Tallec & Ollivier 2018).
    """

    def paper(parameters: Parameters, fill: Callable[[Tensor], object]) -> None:
        xavier_blocks_(parameters["weight_ih"], 3)
        fill(parameters["weight_hh"])
        if "bias" in parameters:
            nn.init.zeros_(parameters["bias"])

    def bistable(parameters: Parameters, chrono_steps: int | None) -> None:
        bias_a, bias_c = required_bias(parameters, "bistable").chunk(2)
        paper(parameters, paper2020)
        bias_a.fill_(2.0)
        bias_c.fill_(-1.0)

    def chrono(parameters: Parameters, chrono_steps: int | None) -> None:
        _, bias_c = required_bias(parameters, "chrono").chunk(2)
        paper(parameters, paper2020)
        chrono_bias_(bias_c, chrono_steps)

    return {
        "paper2020": lambda parameters, chrono_steps: paper(parameters, paper2020),
        "paper2021": lambda parameters, chrono_steps: paper(parameters, paper2021),
        "bistable": bistable,
        "chrono": chrono,
    }
