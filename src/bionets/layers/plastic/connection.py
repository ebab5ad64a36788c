"""The base class of connections, which transmit spikes and traces with delays and compute a current."""

import math

import torch
from torch import Tensor

from bionets.layers.plastic.neuron import Neuron, whole_steps
from bionets.layers.stateful import StatefulModule

Size = tuple[int, ...]


def flat(values: Tensor) -> Tensor:
    """Values ``[B, *shape]`` as ``[B, N]``, also for a single neuron of shape ()."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


class Connection(StatefulModule):
    """Synapses from one group of neurons to another group, or to the same group.

    delay: the transmission delay of a spike, in steps. A synapse holds one spike in flight, which a later spike
        overwrites; the refractory period of the source should therefore not be shorter than the delay. Delayed synapses
        have their own presynaptic trace of the arriving spikes, with the dynamics of the trace of the source. Synapses
        without delay have no state.

    ``delay`` is an int, or a tensor with one delay for each presynaptic neuron; for `Linear` and `Conv2d`, a tensor
    with one delay for each synapse.
    """

    delay: Tensor | None
    countdown: Tensor | None
    trace: Tensor | None

    def __init__(self, delay: int | Tensor = 0) -> None:
        delays = whole_steps(f"{self._get_name()}: a delay", delay)
        delayed = bool(delays.any())
        self.state_names = ("countdown", "trace") if delayed else ()
        super().__init__()
        self.register_buffer("delay", delays.clone() if delayed else None)
        self.pre_spikes: Tensor | None = None
        self.pre_trace: Tensor | None = None

    def check(self, source: Size, target: Size) -> None:
        """Raise ValueError if this connection does not fit between groups of these shapes."""
        raise NotImplementedError(f"{self._get_name()} must implement check")

    def current(self) -> Tensor:
        """The current that `pre_spikes` cause, ``[B, ...]`` with the elements of the target."""
        raise NotImplementedError(f"{self._get_name()} must implement current")

    def summed_trace(self) -> Tensor:
        """The sum of `pre_trace` over the synapses of each target neuron, ``[B, ...]`` like the current."""
        raise NotImplementedError(f"{self._get_name()} must implement summed_trace")

    def forward(self, source: Neuron) -> Tensor:  # type: ignore[override]  # it connects groups, not consecutive layers
        """Transmit the spikes and the trace of the source for one step, and return the current of the target.

        The spikes and traces that arrive are stored as ``pre_spikes`` and ``pre_trace`` for the learning rules.
        """
        assert source.spikes is not None
        if self.delay is None:
            self.pre_spikes, self.pre_trace = source.spikes, source.trace
        else:
            self._advance(source, self.lay_out_delay(self.delay))
        return self.current()

    @property
    def has_hooks(self) -> bool:
        """Whether `forward` calls hooks. PyTorch has no public function for this; these names may change."""
        return bool(self._forward_hooks or self._forward_pre_hooks)

    def check_delay(self, source: Size) -> None:
        """Raise ValueError unless there is one delay for all neurons of a source of this shape, or one for each."""
        shape = () if self.delay is None else tuple(self.delay.shape)
        ends = zip(reversed(shape), reversed(source), strict=False)
        if len(shape) > len(source) or any(size not in (1, own) for size, own in ends):
            raise ValueError(f"{self._get_name()}: delay must be an int or of shape {source}, got {shape}")

    def prepare(self, batch: int) -> None:
        """Raise ValueError if the spikes in flight belong to a batch of another size, or a connection made without a
        delay was given one."""
        if self.delay is not None and not self.state_names:
            raise ValueError(
                f"{self._get_name()}: give the delay to the constructor; a connection made without one holds no spikes "
                "in flight"
            )
        in_flight = self._buffers.get("countdown")
        if in_flight is not None and len(in_flight) != batch:
            raise ValueError(
                f"{self._get_name()}: spikes of a batch of {len(in_flight)} are in flight but the input has {batch}: "
                "call reset() before a new batch"
            )

    def lay_out(self, values: Tensor) -> Tensor:
        """Values of the source neurons ``[B, *source]`` in the layout of the delayed values, for broadcasting."""
        return values

    def lay_out_delay(self, delay: Tensor) -> Tensor:
        """The delays in the layout of the delayed values, without the batch dimension."""
        return delay

    def _advance(self, source: Neuron, delay: Tensor) -> None:
        assert source.spikes is not None
        sent = self.lay_out(source.spikes)
        shape = torch.broadcast_shapes(sent.shape, (1, *delay.shape))
        if self.countdown is None:
            self.countdown = delay.new_zeros(shape)
        due = self.countdown == 1
        self.countdown = torch.where(sent, delay, (self.countdown - 1).clamp_(min=0))
        self.pre_spikes = due | (sent & (delay == 0))
        if source.has_trace:
            decay, gain = (self.lay_out(v.unsqueeze(0)) for v in (source.trace_decay, source.trace_gain))
            faded = decay.new_zeros(shape) if self.trace is None else decay * self.trace
            self.trace = torch.where(self.pre_spikes, gain if source.nearest_spike else faded + gain, faded)
            self.pre_trace = self.trace
