"""Common code of both bistable cells: state update, parameter layout, initialisations, recorded gates."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from bionets.layers.lengths import zero_past_end
from bionets.layers.recurrent.initialisation import chrono_bias_, xavier_blocks_
from bionets.layers.recurrent.recurrence import Initialisation, Parameters, States, gate_biases, required_bias
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer


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


class Gates(NamedTuple):
    """The gates of one layer and direction, each `[T, B, H]`. A unit is bistable if `a` > 1; `c` is the share of the
    state that is kept."""

    a: Tensor
    c: Tensor


class BistableLayer(RecurrentLayer):
    """A `RecurrentLayer` of bistable cells, which can also return its gates."""

    _recorded: list[Gates] | None = None  # in the copy that computes a call with return_gates

    def forward(
        self,
        x: Tensor | PackedSequence,
        h0: Tensor | States | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        backend: str | None = None,
        return_gates: bool = False,
    ) -> Any:
        """Run over the whole sequence from the states `h0`; see `RecurrentLayer`.

        return_gates: whether to also return a list of `Gates`, one for each layer and direction in the order of the
            states. Gates past the end of a sequence are zero.

        Raises the errors of `RecurrentLayer`, and ValueError for `return_gates` with a packed or unbatched sequence.
        """
        if not return_gates:
            return super().forward(x, h0, lengths=lengths, reset=reset, backend=backend)
        if isinstance(x, PackedSequence) or (isinstance(x, Tensor) and x.dim() != 3):
            raise ValueError(f"{self._get_name()}: return_gates needs a padded, batched sequence")
        recorder = copy.copy(self)  # another thread may call this layer
        recorder._recorded = []
        output, h_n = RecurrentLayer.forward(recorder, x, h0, lengths=lengths, reset=reset, backend=backend)
        return output, h_n, recorder._recorded

    def _over_time(self, x: Tensor, states: States, parameters: Parameters, **options: Any) -> tuple[Tensor, States]:
        output, last = super()._over_time(x, states, parameters, **options)
        if self._recorded is not None:
            before = _before_each_step(output, states[0], options)
            self._recorded.append(_gates(x, before, parameters, options["lengths"]))
        return output, last


def _before_each_step(output: Tensor, start: Tensor, options: Mapping[str, Any]) -> Tensor:
    """The state before each step, `[T, B, H]`, of a scan with these outputs and options from the state `start`."""
    start = start.unsqueeze(0).to(output.dtype)
    before = torch.cat((output[1:], start) if options["reverse"] else (start, output[:-1]))
    if options["reverse"] and options["lengths"] is not None:  # each sequence starts at its own last step
        last = torch.arange(len(output), device=output.device).unsqueeze(1) == options["lengths"] - 1
        before = torch.where(last.unsqueeze(2), start, before)
    return torch.where(options["reset"].unsqueeze(2), 0, before) if "reset" in options else before


def _gates(x: Tensor, before: Tensor, parameters: Parameters, lengths: Tensor | None) -> Gates:
    _, a, c = F.linear(x, parameters["weight_ih"]).chunk(3, -1)
    weights, biases = parameters["weight_hh"].chunk(2), gate_biases(parameters, 2)
    memory_a, memory_c = (w * before if w.dim() == 1 else F.linear(before, w) for w in weights)
    gates = 1 + torch.tanh(a + memory_a + biases[0]), torch.sigmoid(c + memory_c + biases[1])
    return Gates(*(gates if lengths is None else (zero_past_end(gate, lengths) for gate in gates)))
