"""Wrapper of recurrent sequence layers as stateful layers that take one step."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bionets.layers.lengths import flat_lengths, flat_reset, zero_past_end
from bionets.layers.recurrent.recurrence import as_tuple
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.layers.stateful import StatefulModule, States


class StatefulRecurrent(StatefulModule):
    """A recurrent layer that takes the input of one step and keeps its state: StatefulRecurrent(BRC(3, 8)).

    ``[B, ..., input_size] -> [B, ..., hidden_size]`` at each step, with the sizes along ``dim`` (-1: features, -3: the
    channels of images, whose pixels share the weights of the layer). It can be combined with spiking layers in an
    `nn.Sequential`; `unroll` uses the scan of the layer. See `StatefulModule`.

    The states have the names of the layer's states, without the 0: ``h`` of `BRC`, ``h`` and ``c`` of `nn.LSTM`,
    ``real`` and ``imaginary`` of `LRU`. Each has the shape of the output. A stack has these states for every layer:
    ``h_l0``, ``h_l1``, ... All states start at 0.

    Args:
        layer: any bionets layer with the interface of `nn.GRU`, or `nn.GRU`, `nn.LSTM`, `nn.RNN`.
        dim: the axis of the features in the input of one step.

    Raises:
        TypeError: another kind of layer.
        ValueError: a bidirectional layer, which cannot run step by step.
    """

    step_backend = "auto"  # as for whole sequences: the last bit may decide about a spike in the next layer

    def __init__(self, layer: RecurrentLayer | nn.RNNBase, dim: int = -1) -> None:
        if not isinstance(layer, RecurrentLayer | nn.RNNBase):
            raise TypeError(f"StatefulRecurrent takes a layer such as BRC or torch.nn.GRU, got {type(layer).__name__}")
        if layer.bidirectional:
            raise ValueError("StatefulRecurrent takes one step after the other: a bidirectional layer has no time step")
        self.kinds = _state_kinds(layer)
        stack = [f"_l{number}" for number in range(layer.num_layers)] if layer.num_layers > 1 else [""]
        self.state_names = tuple(kind + number for kind in self.kinds for number in stack)
        super().__init__()
        self.layer = layer
        self.dim = dim

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        """The shape of each state: the shape of the input, with the size of the layer along ``dim``."""
        axis = self._axis(input_shape)
        sizes = (self._size(kind) for kind in self.kinds for _ in range(self.layer.num_layers))
        return tuple((*input_shape[:axis], size, *input_shape[axis + 1 :]) for size in sizes)

    def over_time(
        self,
        x: Tensor,
        states: States | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        backend: str = "auto",
    ) -> tuple[Tensor, States]:
        """x and the outputs ``[T, B, ...]``, with the features along ``dim``. Pure; see `StatefulModule`.

        ``backend`` "auto" is the backend of the layer; layers of torch have no other.
        """
        axis = self._axis(x.shape[1:])
        states = self.checked_states(x, states)
        x = x.movedim(1 + axis, -1)
        batch = x.shape[1:-1]  # every axis except the features
        of_batch = batch if axis else ()
        lengths, reset = flat_lengths(x, lengths, of_batch), flat_reset(x, reset, of_batch)
        x = x.reshape(len(x), math.prod(batch), x.shape[-1])
        flat = [state.movedim(axis, -1).reshape(math.prod(batch), state.shape[axis]) for state in states]
        count = self.layer.num_layers
        given = tuple(torch.stack(flat[n * count : (n + 1) * count]) for n in range(len(self.kinds)))
        y, last = self._run(x, given, lengths, reset, backend)
        after = (state for kind in last for state in kind.unbind(0))
        return (
            y.reshape(len(y), *batch, y.shape[-1]).movedim(-1, 1 + axis),
            tuple(state.reshape(*batch, state.shape[-1]).movedim(-1, axis) for state in after),
        )

    def _run(
        self, x: Tensor, states: States, lengths: Tensor | None, reset: Tensor | None, backend: str
    ) -> tuple[Tensor, States]:
        """Call the layer, with its hooks, on x ``[T, B, input_size]`` and states ``[num_layers, B, size]``."""
        if isinstance(self.layer, nn.RNNBase):
            if reset is not None:
                raise ValueError(f"{type(self.layer).__name__} of torch has no reset: run the pieces one by one")
            return self._run_torch(self.layer, x, states, lengths)
        if reset is not None:
            reset = self._as_laid(reset)
        options = {"lengths": lengths, "reset": reset, "backend": None if backend == "auto" else backend}
        given = {name: option for name, option in options.items() if option is not None}
        y, last = self.layer(self._as_laid(x), states if len(states) > 1 else states[0], **given)
        return self._as_laid(y), as_tuple(last)

    def _run_torch(self, layer: nn.RNNBase, x: Tensor, states: States, lengths: Tensor | None) -> tuple[Tensor, States]:
        if x.numel() == 0 or (lengths is not None and not lengths.any()):
            return x.new_zeros(*x.shape[:2], self._size("h")), states
        given = states if len(states) > 1 else states[0]
        if lengths is None:
            y, last = layer(self._as_laid(x), given)
            return self._as_laid(y), as_tuple(last)
        y, last = run_packed(layer, x, lengths, given)
        ran = (lengths > 0).view(1, -1, 1)
        return y, tuple(torch.where(ran, new, old) for new, old in zip(as_tuple(last), states, strict=True))

    def _as_laid(self, x: Tensor) -> Tensor:
        """Convert ``[T, B, size]`` to the layout of the layer, and back."""
        return x.transpose(0, 1) if self.layer.batch_first else x

    def _axis(self, input_shape: torch.Size) -> int:
        """The axis ``dim`` of the input of one step, as a non-negative number."""
        rank, size = len(input_shape), self.layer.input_size
        axis = self.dim % rank if -rank <= self.dim < rank else None
        if axis is None or input_shape[axis] != size:
            raise ValueError(
                f"{self._get_name()}: one step's input must have input_size={size} entries along dim={self.dim}, "
                f"got an input of shape {tuple(input_shape)}"
            )
        return axis

    def _size(self, kind: str) -> int:
        projected = int(getattr(self.layer, "proj_size", 0)) if kind == "h" else 0
        return projected or self.layer.hidden_size

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


def run_layer(layer: nn.Module, x: Tensor, lengths: Tensor | None) -> Any:
    """The outputs ``[T, B, H]`` of a layer with the interface of `torch.nn.GRU`, zero past the ends of the sequences,
    and its last state."""
    if lengths is None:
        return layer(x)
    return run_packed(layer, x, lengths) if runs_packed(layer) else layer(x, lengths=lengths)


def runs_packed(layer: nn.Module) -> bool:
    """Whether a layer takes sequences of different lengths as a packed sequence: a layer of torch, or a wrapper."""
    return isinstance(getattr(layer, "layer", layer), nn.RNNBase)


def run_packed(layer: nn.Module, x: Tensor, lengths: Tensor, *states: Any) -> tuple[Tensor, Any]:
    """As `run_layer`, for a layer of torch, which takes lengths as a packed sequence. Torch refuses a length of 0; such
    a sequence is replaced by one step of zeros."""
    packed = pack_padded_sequence(zero_past_end(x, lengths), lengths.clamp_min(1).cpu(), enforce_sorted=False)
    y, last = layer(packed, *states)
    y, _ = pad_packed_sequence(y, total_length=len(x))
    return zero_past_end(y, lengths), last


def _state_kinds(layer: RecurrentLayer | nn.RNNBase) -> tuple[str, ...]:
    if isinstance(layer, RecurrentLayer):
        return tuple(name.removesuffix("0") for name in layer.recurrence.states)
    return ("h", "c") if isinstance(layer, nn.LSTM) else ("h",)
