"""Integrate-and-fire neurons."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from bionets.layers.folding import current_folding
from bionets.layers.plastic.dynamics import Dynamics, LinearDynamics, Value
from bionets.layers.plastic.neuron import Neuron, Shape, whole_steps


class LIF(Neuron):
    """Leaky integrate-and-fire neurons:

        v ← rest + decay·(v − rest) + gain·I
        spike where v ≥ threshold; there v ← reset, and the next ``refractory`` steps are refractory

    Refractory neurons keep their v and do not spike.

    Linear dynamics: v ← rest + λ (v − rest) + α I. Exponential dynamics: v ← v + dt/τ (−(v − rest) + α I).

    Every number may be a tensor of ``shape``, with a value for each neuron. The default of ``reset`` is ``rest``. For
    ``trace``, ``nearest_spike`` and ``record`` see `Neuron`; spikes, trace, voltage and threshold can be recorded.

    Called with the input current ``[B, *shape]``, the layer computes one step and returns its spikes, as bool. With
    ``whole_sequence=True``, it computes all steps of ``[T, B, *shape]``.
    """

    recordable = ("spikes", "trace", "voltage", "threshold")

    voltage: Tensor | None
    waiting: Tensor | None
    rest: Tensor
    reset: Tensor
    threshold: Tensor
    voltage_decay: Tensor
    voltage_gain: Tensor
    refractory: Tensor

    def __init__(
        self,
        shape: Shape,
        dynamics: Dynamics,
        *,
        threshold: Value = 1.0,
        rest: Value = 0.0,
        reset: Value | None = None,
        refractory: int | Tensor = 0,
        trace: Dynamics | None = None,
        nearest_spike: bool = False,
        record: Iterable[str] = (),
        state_names: tuple[str, ...] = (),
    ) -> None:
        names = ("voltage", "waiting", *state_names)
        super().__init__(shape, trace=trace, nearest_spike=nearest_spike, record=record, state_names=names)
        self._add_dynamics("voltage", dynamics)
        self._add_values("threshold", threshold)
        self._add_values("rest", rest)
        self._add_values("reset", rest if reset is None else reset)
        self._add_values("refractory", whole_steps(f"{self._get_name()}: refractory", refractory), torch.int32)

    def forward(
        self, x: Tensor, *, whole_sequence: bool = False, lengths: Tensor | None = None, reset: Tensor | None = None
    ) -> Tensor:
        if current_folding() is not None and not whole_sequence:
            return self.unfolded(x, self.run_sequence)
        if whole_sequence:
            return self.run_sequence(x, lengths, reset)
        return self.run_sequence(x.unsqueeze(0), lengths, reset)[0]

    def run_sequence(self, x: Tensor, lengths: Tensor | None = None, reset: Tensor | None = None) -> Tensor:
        if lengths is not None:
            raise ValueError(f"{self._get_name()} takes no lengths: present sequences of one length")
        if reset is not None:
            raise ValueError(f"{self._get_name()} takes no reset: call reset_states between sequences")
        if tuple(x.shape[2:]) != self.shape:
            got, sizes = tuple(x.shape[1:]), ", ".join(map(str, self.shape))
            raise ValueError(f"{self._get_name()}: expected a current of shape [B, {sizes}], got {got}")
        if x.is_complex():
            raise TypeError(f"{self._get_name()}: a current must be real, got {x.dtype}")
        with torch.no_grad():
            self.prepare(x.shape[1], x.device)
            spikes = torch.empty(x.shape, dtype=torch.bool, device=x.device)
            for t, current in enumerate(x):
                spikes[t] = self.integrate(current)
            return spikes

    def integrate(self, current: Tensor) -> Tensor:
        """The spikes of one step, from the stored states, which `prepare` creates."""
        assert self.voltage is not None and self.waiting is not None
        ready = self.waiting == 0
        moved = self.rest + self.voltage_decay * (self.voltage - self.rest) + self.voltage_gain * current
        voltage = torch.where(ready, moved, self.voltage)
        spikes = ready & (voltage >= self.present_threshold())
        self.voltage = torch.where(spikes, self.reset, voltage)
        self.waiting = torch.where(spikes, self.refractory, (self.waiting - 1).clamp_(min=0))
        self.fire(spikes)
        return spikes

    def present_threshold(self) -> Tensor:
        """The current threshold, which can be broadcast to ``[B, *shape]``."""
        return self.threshold

    def recorded(self, name: str) -> Tensor:
        if name == "threshold":
            assert self.voltage is not None
            return self.present_threshold().expand_as(self.voltage)
        return super().recorded(name)

    def at_rest(self, name: str) -> Tensor:
        if name == "voltage":
            return self.rest
        return torch.zeros_like(self.refractory) if name == "waiting" else super().at_rest(name)


class IF(LIF):
    """Integrate-and-fire neurons without leak: v ← v + α I with α = ``scale``. Otherwise as `LIF`."""

    def __init__(self, shape: Shape, *, scale: Value = 1.0, **options: Any) -> None:
        super().__init__(shape, LinearDynamics(1.0, scale), **options)


class TraceLIF(LIF):
    """`LIF` with I = Σ over synapses of (weight·spike − presynaptic trace): recently active synapses contribute less.
    In a `Network`, the connections subtract their traces.

    Source: Paredes-Vallés, Scheper and de Croon, "Unsupervised learning of a hierarchical spiking neural network for
    optical flow estimation", TPAMI 2020, eq. 5; PySNN calls it Fede.
    """

    subtracts_trace = True


class AdaptiveLIF(LIF):
    """`LIF` with an adaptive threshold θ = threshold + a; a is a trace of the spikes, a ← decay·a + gain·spike.

    homeostasis: if True, all samples share a. It changes only in training mode, by the mean spike of the batch; `reset`
        does not change it, and it is saved with the model. Neurons that fire more often are thus harder to excite
        (Diehl and Cook, 2015). If False, a is a state of each sample, like the voltage.
    """

    adaptation: Tensor | None
    adaptation_decay: Tensor
    adaptation_gain: Tensor

    def __init__(
        self, shape: Shape, dynamics: Dynamics, adaptation: Dynamics, *, homeostasis: bool = False, **options: Any
    ) -> None:
        super().__init__(shape, dynamics, **options, state_names=() if homeostasis else ("adaptation",))
        self.homeostasis = homeostasis
        self._add_dynamics("adaptation", adaptation)
        if homeostasis:
            self._add_values("adaptation", 0.0)

    @property
    def adapts(self) -> bool:
        return self.training or not self.homeostasis

    def present_threshold(self) -> Tensor:
        assert self.adaptation is not None
        return self.threshold + self.adaptation

    def fire(self, spikes: Tensor) -> None:
        if self.adapts and len(spikes):  # the mean over no samples would be NaN
            assert self.adaptation is not None
            fired = spikes.to(self.adaptation_gain.dtype)
            driven = fired.mean(0) if self.homeostasis else fired
            moved = self.adaptation_decay * self.adaptation + self.adaptation_gain * driven
            self.adaptation = self.adaptation.copy_(moved) if self.homeostasis else moved
        super().fire(spikes)

    def at_rest(self, name: str) -> Tensor:
        return torch.zeros_like(self.adaptation_decay) if name == "adaptation" else super().at_rest(name)
