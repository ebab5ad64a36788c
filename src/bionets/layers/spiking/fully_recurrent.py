"""Every neuron of a layer hears all others: any spiking layer, with dense weights from its output to its input."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.lengths import flat_lengths, flat_reset
from bionets.layers.spiking.spiking_layer import SpikingLayer
from bionets.layers.stateful import StatefulModule, States
from bionets.scan import dense_scan

__all__ = ["FullyRecurrent"]


class FullyRecurrent(StatefulModule):
    """A spiking layer whose neurons are connected all to all: y[t] = layer(x[t] + W·y[t − 1]).

    ``weight`` is ``[num_neurons, num_neurons]``, drawn from U(−1/√n, 1/√n) as in `torch.nn.RNN`. The states are
    ``output``, the last y, and those of the layer, which the wrapper keeps in its stead.

    Args:
        layer: any `SpikingLayer`; FullyRecurrent(LIB(64)).
    """

    step_backend = SpikingLayer.step_backend
    output: Tensor | None

    def __init__(self, layer: SpikingLayer) -> None:
        if not isinstance(layer, SpikingLayer):
            raise TypeError(f"FullyRecurrent connects the neurons of a SpikingLayer, got {type(layer).__name__}")
        self.state_names = ("output", *layer.state_names)
        super().__init__()
        self.layer = layer
        limit = layer.num_neurons**-0.5
        self.weight = nn.Parameter(torch.empty(layer.num_neurons, layer.num_neurons).uniform_(-limit, limit))

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        """The shape of the input, and the state shapes of the layer."""
        return (tuple(input_shape), *self.layer.state_shapes(input_shape))

    def initial_states(self, x: Tensor, generator: torch.Generator | None = None) -> States:
        """Zeros, and a new stream of noise; see `SpikingLayer`."""
        return (self.weight.new_zeros(x.shape[1:]), *self.layer.initial_states(x, generator))

    def fresh_states(self, x: Tensor) -> States:
        """See `SpikingLayer`."""
        return (self.weight.new_zeros(x.shape[1:]), *self.layer.fresh_states(x))

    def over_time(
        self,
        x: Tensor,
        states: States | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
        backend: str = "auto",
    ) -> tuple[Tensor, States]:
        """x and the outputs ``[T, B, ...]``, with ``num_neurons`` along the layer's ``dim``. Pure."""
        axis = self.layer.neuron_axis(x.shape[1:])
        memory, noise, stream = self.layer.with_noise(x, self.initial_states(x) if states is None else states)

        batch = x.movedim(1 + axis, -1).shape[1:-1]  # every axis but that of the neurons

        def enter(tensor: Tensor, lead: int) -> Tensor:
            flat = (*tensor.shape[:lead], math.prod(batch), self.layer.num_neurons)
            return tensor.movedim(lead + axis, -1).reshape(flat)

        def leave(tensor: Tensor, lead: int) -> Tensor:
            return tensor.unflatten(lead, (*batch, 1)).squeeze(-2).movedim(-1, lead + axis)

        inputs = tuple(enter(each, 1) for each in (x, *noise))
        y, memory = dense_scan(
            partial(recurrent_step, step=self.layer.step_of_tuples()),
            inputs if noise else inputs[0],
            tuple(enter(state, 0) for state in memory),
            self.layer.values(),
            self.weight,
            lengths=flat_lengths(x, lengths, batch if axis else ()),
            reset=flat_reset(x, reset, batch if axis else ()),
            reset_to=None if reset is None else tuple(enter(state, 0) for state in self.fresh_states(x)),
            backend=self.layer.backend if backend == "auto" else backend,
        )
        return self.layer.in_dtype_of(x, leave(y, 1)), (*(leave(state, 0) for state in memory), *stream)


def recurrent_step(
    x: Any, recurrent: Tensor, state: States, params: States, *, step: Callable[..., tuple[Tensor, States]]
) -> tuple[Tensor, States]:
    """The layer's step, with what comes back from all neurons added to its input."""
    x, *noise = x if isinstance(x, tuple) else (x,)
    y, state = step((x + recurrent, *noise), state[1:], params)
    return y, (y, *state)
