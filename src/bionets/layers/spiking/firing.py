"""Spike functions (the probability of a spike) and quantisers (from it to the output), by name or as functions.

A spike function maps v, the distance to the threshold, to a probability p; ``sigmoid4x`` is smooth; the spike functions
of `bionets.scan.surrogate` are hard: p is 0 or 1, with a surrogate gradient. A quantiser converts p to the output.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from bionets.scan import surrogate
from bionets.scan.surrogate import straight_bernoulli, straight_round, with_derivative

SpikeFn = Callable[[Tensor], Tensor]
Quantiser = Callable[..., Tensor]  # a function of p, or of p and uniform noise
QuantFn = Quantiser | Mapping[str, float]
Function = TypeVar("Function", bound=Callable[..., Tensor])


def sigmoid4x(v: Tensor) -> Tensor:
    """σ(4v): smooth, ½ at the threshold, with slope 1 there."""
    return torch.sigmoid(4 * v)


def probabilistic(p: Tensor, noise: Tensor) -> Tensor:
    """p·b with b = 1 if noise < p, with probability p; its expectation is p², whose derivative 2p is the gradient."""
    return with_derivative(p * (noise < p).to(p.dtype), p, 2 * p)


def identity(p: Tensor) -> Tensor:
    """p itself."""
    return p


HARD: dict[str, SpikeFn] = {
    "sigmoid": surrogate.sigmoid,
    "fast_sigmoid": surrogate.fast_sigmoid,
    "super_spike": surrogate.super_spike,
    "arctan": surrogate.arctan,
    "triangle": surrogate.triangle,
    "rectangle": surrogate.rectangle,
    "gaussian": surrogate.gaussian,
    "multi_gaussian": surrogate.multi_gaussian,
    "leaky": surrogate.leaky,
}
SPIKE_FUNCTIONS: dict[str, SpikeFn] = {"sigmoid4x": sigmoid4x, **HARD}
"""The spike functions by name, for ``spike_fn``."""
QUANTISERS: dict[str, Quantiser] = {
    "bernoulli": straight_bernoulli,
    "round": straight_round,
    "probabilistic": probabilistic,
    "identity": identity,
}
"""The quantisers by name, for ``quant_fn``."""
STEPPED: dict[str, Quantiser] = {"bernoulli": straight_bernoulli, "round": straight_round}


class Firing(NamedTuple):
    """A spike function and a quantiser."""

    spike_fn: SpikeFn
    quant_fn: Quantiser
    stochastic: bool  # whether the quantiser takes uniform noise in addition to p

    @classmethod
    def of(cls, spike_fn: str | SpikeFn, quant_fn: str | QuantFn) -> "Firing":
        """Create a `Firing` from names or functions. After a hard spike function, the quantiser is not used.

        ``{"round": 0.25}`` and ``{"bernoulli": 0.25}`` quantise to multiples of 0.25.

        Raises:
            ValueError: the name is unknown, the step size is not positive, or the quantiser takes other arguments.
        """
        spike = _find(SPIKE_FUNCTIONS, "spike_fn", spike_fn)
        quant = _with_step(quant_fn) if isinstance(quant_fn, Mapping) else _find(QUANTISERS, "quant_fn", quant_fn)
        if _plain(spike) in HARD.values():
            quant = identity
        return cls(spike, quant, stochastic=_required_arguments(quant) == 2)

    @property
    def hard(self) -> bool:
        """Whether the output is 1 above the threshold and 0 below it."""
        rounded = self.quant_fn is straight_round and self.spike_fn is sigmoid4x
        return rounded or (self.quant_fn is identity and _plain(self.spike_fn) in HARD.values())

    def __call__(self, v: Tensor, noise: tuple[Tensor, ...]) -> Tensor:
        """The output for v, the distance to the threshold; ``noise`` has one tensor if stochastic."""
        return self.quant_fn(self.spike_fn(v), *noise)


def firing_of(layer: Any) -> Firing | None:
    """The `Firing` of a layer whose step is ``partial(step, firing=...)``; None for other layers."""
    firing: Firing | None = getattr(getattr(layer, "neuron", None), "keywords", {}).get("firing")
    return firing


def _with_step(quant_fn: Mapping[str, float]) -> Quantiser:
    name, step_size = next(iter(quant_fn.items()), ("", 0.0))
    is_number = isinstance(step_size, int | float) and not isinstance(step_size, bool)
    if len(quant_fn) != 1 or name not in STEPPED or not (is_number and 0 < step_size < math.inf):
        raise ValueError(
            f"quant_fn must name one quantiser and a step size above 0, as in {{round: 0.25}}, got {quant_fn}"
        )
    return functools.partial(STEPPED[name], step_size=float(step_size))


def _find(functions: Mapping[str, Function], argument: str, wanted: str | Function) -> Function:
    if callable(wanted):
        return wanted
    if not isinstance(wanted, str) or wanted not in functions:
        raise ValueError(f"unknown {argument} {wanted!r}; choose one of {', '.join(functions)}, or give a function")
    return functions[wanted]


def _required_arguments(quantiser: Quantiser) -> int:
    """1 for a function of p, 2 for a function of p and noise. Raises ValueError for other functions."""
    try:
        parameters = inspect.signature(getattr(quantiser, "forward", quantiser)).parameters.values()
    except ValueError:  # a built-in function: those of torch that could be meant, such as torch.round, take p
        return 1
    required = sum(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in parameters)
    if required not in (1, 2):
        raise ValueError(f"quant_fn must be a function of p, or of p and noise, got one of {required} arguments")
    return required


def _plain(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return function.func if isinstance(function, functools.partial) else function
