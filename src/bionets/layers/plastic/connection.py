"""The base class of connections: they carry spikes and traces with delays, and give a current."""

import torch
from torch import Tensor

from bionets.layers.folding import refuse_within_unroll
from bionets.layers.plastic.neuron import Neuron, whole_steps
from bionets.layers.stateful import StatefulModule

Size = tuple[int, ...]


class Connection(StatefulModule):
    """Synapses from one group of neurons to another, or back to the same.

    delay: the steps that a spike is on its way. A synapse holds one spike in flight; a later one overwrites it, so that
    the refractory period of the source should be as long as the delay. Delayed synapses keep a presynaptic trace of
    their own, of the spikes that arrive, with the dynamics of their source's. Where nothing is delayed nothing is kept.

    An int, or a tensor with a delay for each presynaptic neuron; `Linear` and `Conv2d` take one for each synapse.
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

    def forward(self, source: Neuron) -> Tensor:  # type: ignore[override]  # it joins groups, not layers in a row
        """Carry the source's spikes and trace for one step; returns the current that arrives.

        What has arrived at the synapses is kept for the learning rules as ``pre_spikes`` and ``pre_trace``.
        """
        refuse_within_unroll(f"{self._get_name()} is called", "call the model step by step, or use a PlasticNetwork")
        assert source.spikes is not None
        if self.delay is None:
            self.pre_spikes, self.pre_trace = source.spikes, source.trace
        else:
            self._advance(source, self.lay_out_delay(self.delay))
        return self.current()

    def prepare(self, batch: int) -> None:
        """Raise ValueError if the spikes in flight are of a batch of another size."""
        in_flight = self._buffers.get("countdown")
        if in_flight is not None and len(in_flight) != batch:
            raise ValueError(
                f"{self._get_name()}: spikes of a batch of {len(in_flight)} are in flight but the input has {batch}: "
                "call reset() before a new batch"
            )

    def lay_out(self, values: Tensor) -> Tensor:
        """Values of the source's neurons ``[B, *source]`` in the layout of what is delayed, to be broadcast."""
        return values

    def lay_out_delay(self, delay: Tensor) -> Tensor:
        """The delays in that layout, without the batch."""
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
