"""Common code of a recurrent layer and its cell: named parameters, initialisation, and a scan over time."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bionets.layers.checks import positive_int, require_dtype

Parameters = Mapping[str, Tensor]
"""The parameters of one direction of one layer by their names without suffix; without biases there is none of `bias`,
`bias_ih` and `bias_hh`."""

States = tuple[Tensor, ...]
"""One tensor per state of the cell: `(h,)` for a GRU-like one, `(h, c)` for an LSTM."""

Initialisation = Callable[[Parameters, int | None], None]
"""Fills the parameters in place; the number is `chrono_steps`."""


OverTime = Callable[..., tuple[Tensor, States]]
"""The recurrence over all of time, `over_time(x, states, parameters, **options)`: `[T, B, input_size]` and states
`[B, H]` to `[T, B, H]` and the last states. The constants of the recurrence come by name; the options `lengths`,
`reset`, `reset_to`, `reverse` and `backend` go to `bionets.scan`."""


@dataclass(frozen=True)
class Recurrence:
    """The specification of a kind of recurrent layer.

    states: names of the initial states, `("h0",)` or `("h0", "c0")`.
    parameter_shapes: a function of (input_size, hidden_size), which returns the shape of every parameter by name.
    over_time: the scan of the cell's step.
    initialisations: initialisations by name; the first is the default.
    constants: numbers that a user may set and that are not trained, with their defaults.
    positive: names of the constants that must be above 0.
    """

    states: tuple[str, ...]
    parameter_shapes: Callable[[int, int], dict[str, tuple[int, ...]]]
    over_time: OverTime
    initialisations: Mapping[str, Initialisation]
    constants: Mapping[str, float] = field(default_factory=dict)
    positive: tuple[str, ...] = ()


def as_tuple(states: Tensor | States) -> States:
    """The states of a layer, of which one alone is given as a tensor."""
    return (states,) if isinstance(states, Tensor) else tuple(states)


def gate_biases(parameters: Parameters, gates: int, name: str = "bias") -> tuple[Tensor, ...]:
    """The bias of each gate, `[H]`, from the parameter with this name; scalar zeros if there are no biases."""
    if name not in parameters:
        return (parameters["weight_ih"].new_zeros(()),) * gates
    return parameters[name].unflatten(0, (gates, -1)).unbind()


def required_bias(parameters: Parameters, initialisation: str, name: str = "bias") -> Tensor:
    """The bias with this name, detached and set to zero, for an initialisation that requires it. Raises ValueError if
    there is no bias."""
    if name not in parameters:
        raise ValueError(f"initialisation={initialisation!r} sets the biases and needs bias=True")
    return nn.init.zeros_(parameters[name]).detach()


class RecurrentModule(nn.Module):
    """Holds the parameters of a `Recurrence`, once for each of `_suffixes`."""

    recurrence: ClassVar[Recurrence]
    input_size: int
    hidden_size: int
    initialisation: str
    chrono_steps: int | None
    constants: dict[str, float]
    _suffixes: tuple[str, ...] = ()

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        initialisation: str | None,
        chrono_steps: int | None,
        constants: Mapping[str, float],
    ) -> None:
        super().__init__()
        if unknown := constants.keys() - self.recurrence.constants.keys():
            raise TypeError(f"{self._get_name()} has no argument {', '.join(sorted(unknown))}")
        for name, value in constants.items():
            if not isinstance(value, Real) or isinstance(value, bool):
                raise ValueError(f"{self._get_name()}: {name} must be a number, got {value!r}")
            if name in self.recurrence.positive and not value > 0:
                raise ValueError(f"{self._get_name()}: {name} must be above 0, got {value}")
            if not math.isfinite(value):
                raise ValueError(f"{self._get_name()}: {name} must be finite, got {value}")
        self.constants = {**self.recurrence.constants, **constants}
        schemes = self.recurrence.initialisations
        if initialisation is not None and initialisation not in schemes:
            names = ", ".join(schemes)
            raise ValueError(f"{self._get_name()}: unknown initialisation {initialisation!r}; choose one of {names}")
        self.input_size = positive_int("input_size", input_size)
        self.hidden_size = positive_int("hidden_size", hidden_size)
        self.initialisation = initialisation or next(iter(schemes))
        self.chrono_steps = chrono_steps

    def reset_parameters(self) -> None:
        """Draw all parameters again, with the initialisation chosen at construction."""
        for suffix in self._suffixes:
            self.recurrence.initialisations[self.initialisation](self._named_parameters(suffix), self.chrono_steps)

    def _add_parameters(self, input_size: int, suffix: str, bias: bool, **factory: Any) -> None:
        self._suffixes += (suffix,)
        for name, shape in self.recurrence.parameter_shapes(input_size, self.hidden_size).items():
            absent = name.startswith("bias") and not bias
            self.register_parameter(name + suffix, None if absent else nn.Parameter(torch.empty(shape, **factory)))

    def _named_parameters(self, suffix: str) -> Parameters:
        names = self.recurrence.parameter_shapes(self.input_size, self.hidden_size)
        named = ((name, getattr(self, name + suffix)) for name in names)
        return {name: parameter for name, parameter in named if parameter is not None}

    def _check_input(self, x: Tensor, dimensions: tuple[int, ...]) -> None:
        name, weight = self._get_name(), getattr(self, "weight_ih" + self._suffixes[0])
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: the input must be a tensor, got {type(x).__name__}")
        if x.dim() not in dimensions:
            expected = " or ".join(f"{n}-D" for n in dimensions)
            raise ValueError(f"{name}: expected input to be {expected}, got {x.dim()}-D of shape {tuple(x.shape)}")
        if x.size(-1) != self.input_size:
            raise ValueError(
                f"{name}: the input's last dimension must be input_size={self.input_size}, got {x.size(-1)}"
            )
        require_dtype(name, x, weight)

    def _states_of(self, given: Tensor | States | None, shape: tuple[int, ...]) -> States:
        """The initial states, each checked for `shape`; zeros if none are given."""
        names, weight = self.recurrence.states, getattr(self, "weight_ih" + self._suffixes[0])
        if given is None:
            return tuple(weight.new_zeros(shape) for _ in names)
        states = as_tuple(given) if isinstance(given, Tensor | tuple | list) else (given,)
        if len(states) != len(names):
            raise ValueError(
                f"{self._get_name()}: expected {len(names)} initial state(s) ({', '.join(names)}), got {len(states)}"
            )
        for name, state in zip(names, states, strict=True):
            if not isinstance(state, Tensor):
                raise TypeError(f"{self._get_name()}: {name} must be a tensor, got {type(state).__name__}")
            if tuple(state.shape) != shape:
                raise ValueError(f"{self._get_name()}: expected {name} of shape {shape}, got {tuple(state.shape)}")
            # The states of weights in half precision are float32.
            if not state.is_floating_point() or (state.dtype == torch.float64) != (weight.dtype == torch.float64):
                raise ValueError(
                    f"{self._get_name()}: {name} is {state.dtype} but the weights are {weight.dtype}; "
                    "convert one with .to()"
                )
        return states

    def _as_given(self, states: States) -> Tensor | States:
        """States in the form for the user: a tensor if there is one state, otherwise a tuple."""
        return states[0] if len(self.recurrence.states) == 1 else states

    def _extra_initialisation(self) -> str:
        default = self.initialisation == next(iter(self.recurrence.initialisations))
        constants = "".join(f", {name}={value}" for name, value in self.constants.items())
        return constants + ("" if default else f", initialisation={self.initialisation!r}")
