"""The base class of neurons: shape, spikes, trace, recorded history."""

from collections.abc import Iterable

import torch
from torch import Tensor

from bionets.layers.checks import positive_int
from bionets.layers.plastic.dynamics import Dynamics, Value
from bionets.layers.stateful import StatefulModule

Shape = int | tuple[int, ...]


class Neuron(StatefulModule):
    """A group of neurons ``[*shape]``. Its states are ``[B, *shape]`` for any batch size B.

    To write neurons, derive from this class and implement `integrate`; with states other than spikes and trace, also
    name these and extend `at_rest`.

    trace: the dynamics of the spike trace, tr ← decay·tr + gain·spike; None for no trace.
    nearest_spike: whether a spike sets the trace to ``gain`` instead of adding it; rules then use only nearest spikes.
    record: the names in `recordable` whose values are stored at every step, in `history`.
    """

    recordable: tuple[str, ...] = ("spikes", "trace")
    subtracts_trace = False  # whether presynaptic traces are subtracted from the input (see TraceLIF)

    spikes: Tensor | None
    trace: Tensor | None
    trace_decay: Tensor
    trace_gain: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        trace: Dynamics | None = None,
        nearest_spike: bool = False,
        record: Iterable[str] = (),
        state_names: tuple[str, ...] = (),
    ) -> None:
        self.state_names = ("spikes", *state_names) + (("trace",) if trace else ())
        super().__init__()
        self.shape = tuple(positive_int("shape", size) for size in (shape if isinstance(shape, Iterable) else (shape,)))
        self.nearest_spike = nearest_spike
        self.record = tuple(dict.fromkeys(record))
        self._history: dict[str, list[Tensor]] = {}
        if trace is None:
            self.trace = None
        else:
            self._add_dynamics("trace", trace)
        known = [name for name in self.recordable if name != "trace" or trace]
        for name in self.record:
            if name not in known:
                raise ValueError(f"{self._get_name()} cannot record {name!r}; choose from {', '.join(known)}")

    @property
    def has_trace(self) -> bool:
        return "trace" in self.state_names

    def require_trace(self, end: str) -> None:
        """Raise ValueError unless these neurons, the ``end`` of a connection that learns, have a trace."""
        if not self.has_trace:
            raise ValueError(f"the rule needs a trace of the {end}: {self._get_name()}(..., trace=...)")

    @property
    def history(self) -> dict[str, Tensor]:
        """The recorded values since the last reset, each ``[T, B, *shape]``, at the end of each step."""
        if self._buffers["spikes"] is None:
            return {}
        return {name: torch.cat(parts) for name, parts in self._history.items()}

    def extra_repr(self) -> str:
        return str(self.shape)

    def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
        return tuple((input_shape[0], *self.shape) for _ in self.state_names)

    def prepare(self, batch: int, device: torch.device) -> None:
        """Provide states for a batch of this size: the stored states, or the states of neurons at rest.

        Raises:
            ValueError: the stored states belong to a batch of another size.
        """
        if self._kept_states(torch.Size((batch, *self.shape))) is None:
            if self.spikes is None:
                self._history = {}
            for name in self.state_names:  # setattr would take longer than a short presentation
                if self._buffers[name] is None:
                    self._buffers[name] = self.at_rest(name).to(device).expand(batch, *self.shape).clone()

    def integrate(self, current: Tensor) -> Tensor:
        """The spikes, bool ``[B, *shape]``, that a current causes in one step from the stored states; calls `fire`."""
        raise NotImplementedError(f"{self._get_name()} must implement integrate")

    def fire(self, spikes: Tensor) -> None:
        """Store the spikes of this step (bool, ``[B, *shape]``), update the trace, and append to the history."""
        self.spikes = spikes
        if self.has_trace:
            assert self.trace is not None
            faded = self.trace_decay * self.trace
            bumped = self.trace_gain if self.nearest_spike else faded + self.trace_gain
            self.trace = torch.where(spikes, bumped, faded)
        for name in self.record:
            self.append_history(name, self.recorded(name).unsqueeze(0).clone())

    def recorded(self, name: str) -> Tensor:
        """The current value of a recordable quantity."""
        value: Tensor = getattr(self, name)
        return value

    def append_history(self, name: str, steps: Tensor) -> None:
        """Append steps ``[T, B, *shape]`` to the history."""
        self._history.setdefault(name, []).append(steps)

    def at_rest(self, name: str) -> Tensor:
        """The initial value of a state."""
        return torch.zeros((), dtype=torch.bool) if name == "spikes" else torch.zeros_like(self.trace_decay)

    def _add_dynamics(self, name: str, dynamics: Dynamics) -> None:
        if not hasattr(dynamics, "coefficients"):
            raise TypeError(
                f"{self._get_name()}: the dynamics of the {name} must be LinearDynamics or ExponentialDynamics, "
                f"got {dynamics!r}"
            )
        decay, gain = dynamics.coefficients()
        self._add_values(f"{name}_decay", decay)
        self._add_values(f"{name}_gain", gain)

    def _add_values(self, name: str, value: Value, dtype: torch.dtype | None = None) -> None:
        """Register a buffer with one value for each neuron."""
        values = torch.as_tensor(value, dtype=dtype or torch.get_default_dtype())
        if not values.is_meta and values.isnan().any():
            raise ValueError(f"{self._get_name()}: {name} must be a number, got nan")
        try:
            self.register_buffer(name, values.expand(self.shape).clone())
        except RuntimeError:
            raise ValueError(
                f"{self._get_name()}: {name} of shape {tuple(values.shape)} does not fit neurons of shape {self.shape}"
            ) from None


def dtype_of(neurons: Neuron) -> torch.dtype:
    """The dtype of the parameters of the neurons."""
    floats = (values.dtype for values in neurons.buffers() if values.is_floating_point())
    return next(floats, torch.get_default_dtype())


def whole_steps(name: str, value: int | Tensor) -> Tensor:
    """Convert numbers of steps to int32.

    Raises:
        ValueError: a number is negative or not an integer.
    """
    given = torch.as_tensor(value)
    steps = given.to(torch.int32)
    if (steps != given).any():
        raise ValueError(f"{name} must be a whole number of steps, got {value}")
    if (steps < 0).any():
        raise ValueError(f"{name} must not be negative, got {steps.min()}")
    return steps


class Input(Neuron):
    """Input neurons, whose spikes are given."""
