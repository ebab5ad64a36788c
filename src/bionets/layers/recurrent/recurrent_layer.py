"""Sequence layers with the interface of `torch.nn.GRU`, for any `Recurrence`."""

import numbers
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from bionets.layers.checks import positive_int
from bionets.layers.lengths import valid_steps, zero_past_end
from bionets.layers.recurrent.recurrence import Parameters, RecurrentModule, States
from bionets.scan.arguments import check_lengths, check_reset
from bionets.scan.interface import check_backend


class RecurrentLayer(RecurrentModule):
    """A stack of `num_layers` recurrences, in one direction or both; subclasses set `recurrence`.

    Input `[T, B, input_size]`, `[B, T, input_size]` with `batch_first`, `[T, input_size]` unbatched, or a
    `PackedSequence`, sorted or not. States `[num_layers · D, B, hidden_size]` (unbatched without B), D = 2 if
    bidirectional else 1; zeros if not given. Output `[T, B, D · hidden_size]` in the form of the input, and the states
    after the last step, which can be passed to the next call.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        initialisation: str | None = None,
        chrono_steps: int | None = None,
        backend: str = "auto",
        **constants: float,
    ) -> None:
        super().__init__(input_size, hidden_size, initialisation, chrono_steps, constants)
        self.num_layers = positive_int("num_layers", num_layers)
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = _probability(dropout)
        self.bidirectional = bidirectional
        check_backend(backend)
        self.backend = backend
        if dropout > 0 and num_layers == 1:
            warnings.warn("dropout acts between layers: with num_layers=1 it does nothing", stacklevel=2)
        for layer in range(num_layers):
            size = input_size if layer == 0 else hidden_size * len(self._directions)
            for direction in self._directions:
                self._add_parameters(size, f"_l{layer}{direction}", bias, device=device, dtype=dtype)
        self.reset_parameters()

    def forward(
        self,
        x: Tensor | PackedSequence,
        h0: Tensor | States | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        backend: str | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor | States]:
        """Run over the whole sequence from the states `h0`; see the class for shapes.

        lengths: `[B]` integers, for a batch of padded sequences. Outputs past the end of a sequence are zero; its last
            states are the states at its end (the reverse direction starts there); values of x past the end are ignored.
        reset: `[T, B]` bools (`[B, T]` with `batch_first`), True at the first step of each episode or document in a
            sequence. The states before this step are zero; in reverse, the states after the last step of the episode
            are zero.
        backend: overrides the backend of the layer.

        Raises TypeError for an input or a state that is not a tensor.
        Raises ValueError for an input or a state of the wrong shape, for an input whose dtype is not the weights', for
        lengths that are not B integers from 0 to T, for resets that are not `[T, B]` bools, and for lengths or resets
        with a packed or an unbatched sequence.
        """
        output: Tensor | PackedSequence
        if isinstance(x, PackedSequence):
            self._check_input(x.data, (2,))
        else:
            self._check_input(x, (2, 3))
        given = "lengths are" if lengths is not None else "reset is" if reset is not None else ""
        if given and (isinstance(x, PackedSequence) or x.dim() != 3):
            raise ValueError(f"{self._get_name()}: {given} for a batch of padded sequences, [T, B, ...]")
        backend = backend or self.backend
        if isinstance(x, PackedSequence):
            output, states = self._forward_packed(x, h0, backend)
        elif x.dim() == 3:
            output, states = self._forward_batched(x, h0, lengths, reset, backend)
        else:
            output, states = self._forward_unbatched(x, h0, backend)
        return output, self._as_given(states)

    def _forward_batched(
        self, x: Tensor, h0: Tensor | States | None, lengths: Tensor | None, reset: Tensor | None, backend: str
    ) -> tuple[Tensor, States]:
        if reset is not None:
            reset = check_reset(reset, x.shape, x.device)  # in the layout of the user
        if self.batch_first:
            x, reset = x.transpose(0, 1), None if reset is None else reset.transpose(0, 1)
        states = self._states_of(h0, self._state_shape(x.size(1)))
        if lengths is not None:
            lengths = check_lengths(lengths, x.shape, x.device)
            x = zero_past_end(x, lengths)  # otherwise 0·NaN would reach the gradient of the weights
        if reset is not None and lengths is not None:
            # In reverse, a reset at the step after the end of a sequence would discard its initial state.
            reset = reset & valid_steps(lengths, len(x))
        output, states = self._over_layers(x, states, lengths, reset, backend)
        if lengths is not None:
            output = zero_past_end(output, lengths)  # for cells whose output is computed after the scan
        return (output.transpose(0, 1) if self.batch_first else output), states

    def _forward_unbatched(self, x: Tensor, h0: Tensor | States | None, backend: str) -> tuple[Tensor, States]:
        states = tuple(state.unsqueeze(1) for state in self._states_of(h0, self._state_shape()))
        output, states = self._over_layers(x.unsqueeze(1), states, None, None, backend)
        return output.squeeze(1), tuple(state.squeeze(1) for state in states)

    def _forward_packed(
        self, packed: PackedSequence, h0: Tensor | States | None, backend: str
    ) -> tuple[PackedSequence, States]:
        """Pad in the packed order (longest first), scan each sequence to its length, and pack the output.

        States are given and returned in the order of the user.
        """
        x, lengths = pad_packed_sequence(PackedSequence(packed.data, packed.batch_sizes))
        states = self._states_of(h0, self._state_shape(x.size(1)))
        states = _permute_batch(states, packed.sorted_indices)
        output, states = self._over_layers(x, states, lengths, None, backend)
        data = pack_padded_sequence(output, lengths).data
        repacked = PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
        return repacked, _permute_batch(states, packed.unsorted_indices)

    def _over_layers(
        self, x: Tensor, states: States, lengths: Tensor | None, reset: Tensor | None, backend: str
    ) -> tuple[Tensor, States]:
        last_states: list[States] = []
        for layer in range(self.num_layers):
            if layer > 0 and self.dropout > 0:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for direction in self._directions:
                output, last = self._over_time(
                    x,
                    tuple(state[len(last_states)] for state in states),
                    self._named_parameters(f"_l{layer}{direction}"),
                    lengths=lengths,
                    **self._reset_options(reset, direction),
                    reverse=direction == "_reverse",
                    backend=backend,
                )
                outputs.append(output)
                last_states.append(last)
            x = torch.cat(outputs, dim=-1) if self.bidirectional else outputs[0]
        return x, tuple(torch.stack(state) for state in zip(*last_states, strict=True))

    def _over_time(self, x: Tensor, states: States, parameters: Parameters, **options: Any) -> tuple[Tensor, States]:
        """One direction of one layer."""
        return self.recurrence.over_time(x, states, parameters, **self.constants, **options)

    @staticmethod
    def _reset_options(reset: Tensor | None, direction: str) -> dict[str, Any]:
        """The options of a scan. In reverse, the step before the first step of an episode is the first step of another
        episode."""
        if reset is None:
            return {}
        if direction == "_reverse":
            reset = torch.cat((reset[1:], torch.zeros_like(reset[:1])))
        return {"reset": reset, "reset_to": 0.0}

    @property
    def _directions(self) -> tuple[str, ...]:
        """The suffix of the parameters of each direction."""
        return ("", "_reverse") if self.bidirectional else ("",)

    def _state_shape(self, *batch: int) -> tuple[int, ...]:
        return (self.num_layers * len(self._directions), *batch, self.hidden_size)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults: dict[str, Any] = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0,
            "bidirectional": False,
        }
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text + self._extra_initialisation()


def _permute_batch(states: States, order: Tensor | None) -> States:
    return states if order is None else tuple(state.index_select(1, order) for state in states)


def _probability(dropout: float) -> float:
    if not isinstance(dropout, numbers.Real) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise ValueError(f"dropout must be a probability between 0 and 1, got {dropout!r}")
    return float(dropout)
