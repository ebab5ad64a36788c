"""The gates of a bistable layer, recorded over a sequence."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from bionets.layers.lengths import zero_past_end
from bionets.layers.recurrent.recurrence import Parameters, States, gate_biases
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer


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
        if isinstance(x, PackedSequence) or x.dim() != 3:
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
