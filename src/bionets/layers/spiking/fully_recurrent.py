"""All-to-all recurrence: a spiking layer with dense weights from its output to its input."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers.checks import positive_int
from bionets.layers.computed_parameters import recompute_parameters
from bionets.layers.delay_layers import last_steps
from bionets.layers.delays import Delays
from bionets.layers.lengths import flat_lengths, flat_reset
from bionets.layers.precision import at_least_float32
from bionets.layers.spiking.spiking_layer import SpikingLayer
from bionets.layers.stateful import StatefulModule, States
from bionets.scan import dense_scan


class FullyRecurrent(StatefulModule):
    """A spiking layer whose neurons are connected all to all: y[t] = layer(x[t] + W·y[t − 1]).

    ``weight`` is ``[num_neurons, num_neurons]``, drawn from U(−1/√n, 1/√n) as in `torch.nn.RNN`. The states are
    ``output``, the last y, and the states of the layer; the wrapper stores both.

    With ``max_delay`` above 1, the output of each neuron i arrives d_i steps later, between 1 and ``max_delay``: y[t] =
    layer(x[t] + Σ_i W_i·y_i[t − d_i]). The state ``earlier`` ``[B, max_delay − 1, ...]`` holds the outputs before the
    last output, and ``delays`` is a module of `bionets.layers.Delays` with learned values. With ``synaptic=True``, each
    connection has its own delay, which costs ``max_delay`` times as much.

    Args:
        layer: any `SpikingLayer`; FullyRecurrent(LIB(64)).
        max_delay: the longest delay, in steps.
        synaptic: whether each connection has a delay, instead of each neuron.
        delays: a number, a tensor, or a module such as `bionets.layers.DistanceDelays`, whose delays are between 1 and
            ``max_delay``; None: learned, with random initial values.
        options: other arguments of `bionets.layers.Delays`.
    """

    step_backend = SpikingLayer.step_backend
    output: Tensor | None

    def __init__(
        self,
        layer: SpikingLayer,
        max_delay: int = 1,
        *,
        synaptic: bool = False,
        delays: float | Tensor | Delays | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(layer, SpikingLayer):
            raise TypeError(f"FullyRecurrent connects the neurons of a SpikingLayer, got {type(layer).__name__}")
        self.max_delay = positive_int("max_delay", max_delay)
        self.state_names = ("output", *(("earlier",) if max_delay > 1 else ()), *layer.state_names)
        super().__init__()
        self.layer = layer
        limit = layer.num_neurons**-0.5
        self.weight = nn.Parameter(torch.empty(layer.num_neurons, layer.num_neurons).uniform_(-limit, limit))
        options |= {} if delays is None else {"delays": delays}
        if (options or synaptic) and max_delay == 1:
            raise ValueError(f"{next(iter(options), 'synaptic')} is for delays: give a max_delay above 1")
        shape = (layer.num_neurons,) * (2 if synaptic else 1)
        self.delays: Delays | None = None
        if isinstance(delays, Delays):
            self.delays = self._fitting(delays, options, synaptic)
        elif max_delay > 1:
            self.delays = Delays(shape, 1, max_delay, **options)

    def _fitting(self, delays: Delays, options: dict[str, Any], synaptic: bool) -> Delays:
        """Check that the delays match the neurons or connections of this layer, and return them."""
        neurons, shape = self.layer.num_neurons, tuple(delays.values().shape)
        if shape not in ((neurons,), (neurons, neurons)) or (delays.shortest, delays.longest) != (1, self.max_delay):
            raise ValueError(
                f"the delays must be of shape [{neurons}] or [{neurons}, {neurons}] and from 1 to {self.max_delay} "
                f"steps, got {list(shape)} and {delays.shortest} to {delays.longest}"
            )
        if synaptic and len(shape) == 1:
            raise ValueError(f"synaptic=True needs delays of shape [{neurons}, {neurons}], got {list(shape)}")
        if len(options) > 1:
            raise ValueError(f"{next(iter(options))} belongs to the delays that are given")
        return delays

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        """The shape of the input, with delays the shape of the earlier outputs, and the state shapes of the layer."""
        earlier = ((input_shape[0], self.max_delay - 1, *input_shape[1:]),) if self.delays is not None else ()
        return (tuple(input_shape), *earlier, *self.layer.state_shapes(input_shape))

    def initial_states(self, x: Tensor, generator: torch.Generator | None = None) -> States:
        """Zeros, and a new stream of noise; see `SpikingLayer`."""
        own = self.state_shapes(x.shape[1:])[: 1 if self.delays is None else 2]
        zeros = map(at_least_float32(self.weight).new_zeros, own)  # as the states of the layer
        return (*zeros, *self.layer.initial_states(x, generator))

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
        recompute_parameters(self.layer, x)  # the layer itself is not called
        states = self.checked_states(x, states)
        earlier = None
        if self.delays is not None:
            output, earlier, *others = states
            states = (output, *others)
        memory, noise, stream = self.layer.with_noise(x, states)

        batch = x.movedim(1 + axis, -1).shape[1:-1]  # every axis except the neurons

        def to_scan(tensor: Tensor, lead: int) -> Tensor:
            flat = (*tensor.shape[:lead], math.prod(batch), self.layer.num_neurons)
            return tensor.movedim(lead + axis, -1).reshape(flat)

        def from_scan(tensor: Tensor, lead: int) -> Tensor:
            return tensor.unflatten(lead, (*batch, 1)).squeeze(-2).movedim(-1, lead + axis)

        inputs = tuple(to_scan(each, 1) for each in (x, *noise))
        state, lengths = tuple(to_scan(each, 0) for each in memory), flat_lengths(x, lengths, batch if axis else ())
        options: dict[str, Any] = {"lengths": lengths, "backend": self.layer.backend if backend == "auto" else backend}
        if reset is not None:
            fresh = (x.new_zeros(x.shape[1:]), *self.layer.fresh_states(x))
            options["reset"] = flat_reset(x, reset, batch if axis else ())
            options["reset_to"] = tuple(to_scan(each, 0) for each in fresh)
        weight, past = self.weight, None if earlier is None else to_scan(earlier.movedim(1, 0), 1)
        if self.delays is not None:
            options["past"], lags = past, self.delays()
            weight, options["lags"] = (weight * lags, None) if lags.dim() == 3 else (weight, lags)
        step = partial(recurrent_step, step=self.layer.step_of_tuples())
        y, last = dense_scan(step, inputs if noise else inputs[0], state, self.layer.values(), weight, **options)
        own = [from_scan(last[0], 0)]
        if past is not None:
            steps = torch.cat((past, state[0].unsqueeze(0), y.to(past.dtype)))[:-1]
            own.append(from_scan(last_steps(steps, len(past), lengths), 1).movedim(0, 1))
        own += [from_scan(each, 0) for each in last[1:]]
        return self.layer.in_dtype_of(x, from_scan(y, 1)), (*own, *stream)

    def extra_repr(self) -> str:
        return f"max_delay={self.max_delay}" if self.delays is not None else ""


def recurrent_step(
    x: Any, recurrent: Tensor, state: States, params: States, *, step: Callable[..., tuple[Tensor, States]]
) -> tuple[Tensor, States]:
    """The step of the layer, with the recurrent input of all neurons added to its input."""
    x, *noise = x if isinstance(x, tuple) else (x,)
    y, state = step((x + recurrent, *noise), state[1:], params)
    return y, (y, *state)
