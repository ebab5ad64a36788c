"""The gates of a bistable layer, recorded over a sequence."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from bionets.layers.lengths import zero_past_end
from bionets.layers.recurrent.recurrence import States, gate_biases
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer


class Gates(NamedTuple):
    """The gates of one layer and direction, each `[T, B, H]`. A unit is bistable if `a` > 1; `c` is the share of the
    state that is kept."""

    a: Tensor
    c: Tensor


class BistableLayer(RecurrentLayer):
    """A `RecurrentLayer` of bistable cells, which can also return its gates."""

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

        Raises the errors of `RecurrentLayer`, and ValueError for `return_gates` with a packed or unbatched sequence, or
        with dropout between layers in training, because the gates would use other masks.
        """
        if not return_gates:
            return super().forward(x, h0, lengths=lengths, reset=reset, backend=backend)
        if isinstance(x, PackedSequence) or x.dim() != 3:
            raise ValueError(f"{self._get_name()}: return_gates needs a padded, batched sequence")
        if self.training and self.dropout > 0 and self.num_layers > 1:
            raise ValueError(f"{self._get_name()}: return_gates needs a layer without dropout: call eval() before")
        output, h_n = super().forward(x, h0, lengths=lengths, reset=reset, backend=backend)
        x = x.transpose(0, 1) if self.batch_first else x
        if lengths is not None:
            lengths = lengths.to(x.device)
            x = zero_past_end(x, lengths)
        if reset is not None:
            reset = (reset.transpose(0, 1) if self.batch_first else reset).to(x.device)
        return output, h_n, self._gates(x, h0, lengths, reset, backend or self.backend)

    def _gates(
        self, x: Tensor, h0: Tensor | States | None, lengths: Tensor | None, reset: Tensor | None, backend: str
    ) -> list[Gates]:
        """Compute the gates layer by layer, from the state before each step."""
        (initial,) = self._states_of(h0, self._state_shape(x.size(1)))
        found: list[Gates] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in self._directions:
                parameters, start = self._named_parameters(f"_l{layer}{direction}"), initial[len(found)]
                reverse = direction == "_reverse"
                resets = self._reset_options(reset, direction)
                options = {"lengths": lengths, "reverse": reverse, "backend": backend, **resets}
                output, _ = self.recurrence.over_time(x, (start,), parameters, **options)
                start = start.unsqueeze(0).to(output.dtype)
                before = torch.cat((output[1:], start) if reverse else (start, output[:-1]))
                if reverse and lengths is not None:  # each sequence starts at its own last step
                    last = torch.arange(len(x), device=x.device).unsqueeze(1) == lengths - 1
                    before = torch.where(last.unsqueeze(2), start, before)
                if resets:
                    before = torch.where(resets["reset"].unsqueeze(2), 0, before)
                _, a, c = F.linear(x, parameters["weight_ih"]).chunk(3, -1)
                weight, biases = parameters["weight_hh"], gate_biases(parameters, 2)
                w_a, w_c = weight.chunk(2)
                memory_a, memory_c = (w * before if w.dim() == 1 else F.linear(before, w) for w in (w_a, w_c))
                a, c = a + memory_a + biases[0], c + memory_c + biases[1]
                gates = Gates(1 + torch.tanh(a), torch.sigmoid(c))
                found.append(gates if lengths is None else Gates(*(zero_past_end(gate, lengths) for gate in gates)))
                outputs.append(output)
            x = torch.cat(outputs, dim=-1) if self.bidirectional else outputs[0]
        return found
