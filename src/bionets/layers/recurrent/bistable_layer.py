"""The gates of a bistable layer, recorded over a sequence."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from bionets.layers.recurrent.recurrence import States, gate_biases, require
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer

__all__ = ["BistableLayer", "Gates"]


class Gates(NamedTuple):
    """The gates of one layer and direction, each `[T, B, H]`: a unit is bistable while `a` > 1; `c` is the share of the
    state that is kept."""

    a: Tensor
    c: Tensor


class BistableLayer(RecurrentLayer):
    """A `RecurrentLayer` of bistable cells, which can also return its gates."""

    def forward(
        self, x: Tensor | PackedSequence, h0: Tensor | States | None = None, *, return_gates: bool = False
    ) -> Any:
        """Run over the whole sequence from the states `h0`; see the class for shapes.

        return_gates: also return a list of `Gates`, one for each layer and direction in the order of the states.

        Raises ValueError for an input or a state of the wrong shape, for an input whose dtype is not the weights', and
        for `return_gates` with a packed or unbatched sequence.
        """
        if not return_gates:
            return super().forward(x, h0)
        if isinstance(x, PackedSequence) or x.dim() != 3:
            raise ValueError(f"{self._get_name()}: return_gates needs a padded, batched sequence")
        output, h_n = super().forward(x, h0)
        return output, h_n, self._gates(x.transpose(0, 1) if self.batch_first else x, h0)

    def _gates(self, x: Tensor, h0: Tensor | States | None) -> list[Gates]:
        """Layer by layer, from the state before each step."""
        (initial,) = self._states_of(h0, self._state_shape(x.size(1)))
        found: list[Gates] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in self._directions:
                parameters, start = self._named_parameters(f"_l{layer}{direction}"), initial[len(found)]
                reverse = direction == "_reverse"
                output, _ = self.recurrence.over_time(x, (start,), parameters, reverse=reverse, backend=self.backend)
                start = start.unsqueeze(0).to(output.dtype)
                before = torch.cat((output[1:], start) if reverse else (start, output[:-1]))
                _, a, c = F.linear(x, require(parameters, "weight_ih")).chunk(3, -1)
                weight, biases = require(parameters, "weight_hh"), gate_biases(parameters, 2)
                w_a, w_c = weight.chunk(2)
                memory_a, memory_c = (w * before if w.dim() == 1 else F.linear(before, w) for w in (w_a, w_c))
                a, c = a + memory_a + biases[0], c + memory_c + biases[1]
                found.append(Gates(1 + torch.tanh(a), torch.sigmoid(c)))
                outputs.append(output)
            x = torch.cat(outputs, dim=-1) if self.bidirectional else outputs[0]
        return found
