"""Constrained parameters (decays, thresholds): any real number is a valid raw value; reading applies the constraint."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bionets.layers.find_modules import find_modules
from bionets.layers.precision import at_least_float32

Value = float | Tensor | Mapping[str, Sequence[float]]
"""A number, a tensor with one value for each neuron, or a distribution from which each neuron draws its own value:
`{"uniform": [low, high]}` or `{"normal": [mean, standard deviation]}`."""


class Constraint(NamedTuple):
    """A map from the real numbers onto the valid values, its inverse, and a description of the valid values."""

    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    learnable: Callable[[Tensor], Tensor]  # whether values are valid for a learned parameter
    fixed: Callable[[Tensor], Tensor]  # whether values are valid for a parameter that is not learned
    words: str

    def raw(self, value: Tensor) -> Tensor:
        """The number whose constrained value is ``value``, or the nearest to it."""
        raw = self.inverse(value.double()).to(value.dtype)
        for direction in (-torch.inf, torch.inf):
            near = raw
            for _ in range(3):
                near = torch.nextafter(near, torch.full_like(near, direction))
                raw = torch.where((self.forward(near) == value) & (self.forward(raw) != value), near, raw)
        return raw


CONSTRAINTS = {
    "decay": Constraint(
        torch.sigmoid,
        torch.logit,
        lambda v: (v > 0) & (v < 1),
        lambda v: (v >= 0) & (v <= 1),
        "between 0 and 1 (0 and 1 themselves only with learn_{name}=False)",
    ),
    "threshold": Constraint(
        F.softplus,
        lambda v: v + torch.log(-torch.expm1(-v)),
        lambda v: (v > 0) & v.isfinite(),
        lambda v: (v > 0) & v.isfinite(),
        "greater than 0",
    ),
}


class Frozen(NamedTuple):
    """The raw parameters that `freeze` removed, and the order of all parameters and buffers."""

    raw: dict[str, Tensor]
    parameters: tuple[str, ...]
    buffers: tuple[str, ...]


class ConstrainedParameters(nn.Module):
    """A module with parameters for ``num_neurons`` neurons, each either free or constrained.

    A free parameter ``name`` is stored under its name. A constrained parameter is stored as ``raw_name``, and ``name``
    returns its constrained value: a decay is σ(raw), a threshold softplus(raw). Learned values are parameters, others
    are buffers; both are in the ``state_dict``.
    """

    num_neurons: int
    constraints: dict[str, str | None]
    frozen: Frozen | None

    def add_parameter(
        self,
        name: str,
        value: Value,
        constraint: str | None = None,
        *,
        rank: int = 1,
        learn: bool = True,
        bound: str | None = None,
    ) -> None:
        """Declare a parameter.

        Args:
            name: name of the attribute.
            value: a number, a tensor with one value for each neuron, or a distribution; see `Value`.
            constraint: "decay" (0 to 1), "threshold" (positive), or None.
            rank: 1 for one value per neuron, 0 for one value per layer.
            learn: whether it is learned.
            bound: deprecated name of ``constraint``.

        Raises:
            ValueError: the value violates the constraint or is NaN, or the tensor has another shape.
        """
        if bound is not None:
            warnings.warn("bound= is now called constraint=", DeprecationWarning, stacklevel=2)
            constraint = bound
        if constraint is not None and constraint not in CONSTRAINTS:
            raise ValueError(
                f"{self._get_name()}: constraint must be one of {', '.join(CONSTRAINTS)} or None, got {constraint!r}"
            )
        if rank not in (0, 1):
            raise ValueError(
                f"{self._get_name()}: {name}_rank must be 0 (one per layer) or 1 (one per neuron), got {rank}"
            )
        shape = (self.num_neurons,) if rank else ()
        kept = self._to_keep(name, value, constraint, shape, learn, torch.get_default_dtype())
        key = name if constraint is None else f"raw_{name}"
        self.constraints[name] = constraint
        if learn:
            self.register_parameter(key, nn.Parameter(kept))
        else:
            self.register_buffer(key, kept)

    def _to_keep(
        self,
        name: str,
        value: Value,
        constraint: str | None,
        shape: tuple[int, ...],
        learn: bool,
        dtype: torch.dtype,
    ) -> Tensor:
        """The value in its stored form: raw, and with this shape."""
        given = self._given(name, value, shape, dtype)
        if given.numel() != 1 and tuple(given.shape) != shape:
            raise ValueError(
                f"{self._get_name()}: {name} must be a number or a tensor of shape {shape} for {name}_rank={len(shape)}"
                f" and num_neurons={self.num_neurons}, got a tensor of shape {tuple(given.shape)}"
            )
        values = given.reshape(shape if given.numel() != 1 else ()).expand(shape).clone()
        if constraint is None:
            if not values.is_meta and bool(values.isnan().any()):
                raise ValueError(f"{self._get_name()}: {name} must be a number, got nan")
            return values
        rule = CONSTRAINTS[constraint]
        if not values.is_meta:  # has no values
            invalid = values[~(rule.learnable if learn else rule.fixed)(values)]
            if len(invalid):
                raise ValueError(
                    f"{self._get_name()}: {name} must be {rule.words.format(name=name)}, got {invalid[0].item():g}"
                )
        return rule.raw(values)

    def _given(self, name: str, value: Value, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """The value as a tensor; that of a distribution is drawn for each neuron from torch's generator."""
        try:
            if not isinstance(value, Mapping):
                return torch.as_tensor(value, dtype=dtype).detach()
            ((kind, (first, second)),) = value.items()
            draw: Callable[..., Tensor] = {"uniform": nn.init.uniform_, "normal": nn.init.normal_}[kind]
            return draw(torch.empty(shape, dtype=dtype), float(first), float(second))
        except (KeyError, RuntimeError, TypeError, ValueError):
            raise ValueError(
                f"{self._get_name()}: {name} must be a number, a tensor, {{uniform: [low, high]}} or "
                f"{{normal: [mean, deviation]}}, got {value}"
            ) from None

    @property
    def bounds(self) -> dict[str, str | None]:
        """Deprecated name of ``constraints``."""
        warnings.warn("layer.bounds is now called layer.constraints", DeprecationWarning, stacklevel=2)
        return self.constraints

    def values(self) -> tuple[Tensor, ...]:
        """The constrained values in the order of declaration, each ``[num_neurons]`` or a scalar."""
        return tuple(getattr(self, name) for name in self.constraints)

    def freeze(self) -> None:
        """Replace raw values by buffers with the constrained values; see the function `freeze`."""
        if self.frozen is not None:
            return
        values = {
            name: getattr(self, name).detach()
            for name, constraint in self.constraints.items()
            if constraint is not None
        }
        stored = {*self._parameters, *self._buffers}  # without the raw values of pruning and parametrisations
        raw = {key: getattr(self, key) for name in values if (key := f"raw_{name}") in stored}
        self.frozen = Frozen(raw, tuple(self._parameters), tuple(self._buffers))
        for key in raw:
            delattr(self, key)
        self._buffers.update(values)

    def unfreeze(self) -> None:
        """Undo `freeze`."""
        if self.frozen is None:
            return
        raw, parameters, buffers = self.frozen

        def restored(names: tuple[str, ...], now: dict[str, Any]) -> dict[str, Any]:
            """The raw values in their order, then what was registered since."""
            later = {key: value for key, value in now.items() if key not in {*names, *self.constraints}}
            return {key: raw.get(key, now.get(key)) for key in names} | later

        self._parameters = restored(parameters, self._parameters)
        self._buffers = restored(buffers, self._buffers)
        self.frozen = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        raw = {} if self.frozen is None else self.frozen.raw
        values = {name: self._buffers.get(name) for name, constraint in self.constraints.items() if constraint}
        super()._apply(fn, recurse)
        for name, value in values.items():  # half precision is too coarse for them, as in __getattr__
            moved = self._buffers.get(name)
            if value is not None and moved is not None and moved.dtype in (torch.bfloat16, torch.float16):
                self._buffers[name] = value.to(moved.device, torch.float32)
        for each in raw.values():  # the raw values for unfreeze are moved too
            each.data = fn(each.data)
            if each.grad is not None:
                each.grad.data = fn(each.grad.data)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        kept, other = ("raw_", "") if self.frozen is None else ("", "raw_")
        names = [name for name, rule in self.constraints.items() if rule is not None]
        if any(f"{prefix}{other}{name}" in state_dict and f"{prefix}{kept}{name}" not in state_dict for name in names):
            call = "freeze" if self.frozen is None else "unfreeze"
            errors: list[str] = arguments[-1]
            errors.append(
                f"the values of {prefix.removesuffix('.') or self._get_name()} are those of a model after {call}: "
                f"call {call}(model) first"
            )
            return
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def __getattr__(self, name: str) -> Any:
        constraint = self.__dict__.get("constraints", {}).get(name)
        if constraint is None or name in self._buffers:
            return super().__getattr__(name)
        # getattr, because pruning and parametrisations do not store the raw value among the parameters.
        raw: Tensor = getattr(self, f"raw_{name}")
        # Half precision would round a decay of 0.999 to 1, and a scan computes in float32 anyway.
        return CONSTRAINTS[constraint].forward(at_least_float32(raw))

    def __setattr__(self, name: str, value: Any) -> None:
        """``layer.beta = 0.5`` sets the values of a parameter in place, under its constraint if it has one."""
        constraints = self.__dict__.get("constraints", {})
        if name not in constraints or (isinstance(value, nn.Parameter) and constraints[name] is None):
            super().__setattr__(name, value)
            return
        if self.frozen is not None and constraints[name]:
            raise AttributeError(f"{self._get_name()} is frozen: call unfreeze(model) before setting {name}")
        key = name if constraints[name] is None else f"raw_{name}"
        if key not in self._parameters and key not in self._buffers:  # pruned, or with a parametrisation
            if constraints[name] is not None:
                raise AttributeError(f"{self._get_name()}: set what {name} is made of, since {key} is computed")
            super().__setattr__(name, value)
            return
        kept: Tensor = getattr(self, key)
        shape, dtype = tuple(kept.shape), torch.promote_types(kept.dtype, torch.float32)
        new = self._to_keep(name, value, constraints[name], shape, isinstance(kept, nn.Parameter), dtype)
        with torch.no_grad():
            kept.copy_(new)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.constraints})


def freeze(model: Any) -> None:
    """Replace each raw decay and threshold in the model by a buffer with its constrained value: no sigmoid, no softplus
    and no gradient. Weights, scales and states do not change. A frozen model may be moved, copied and saved; freezing
    it again has no effect.
    """
    for _, layer in find_modules(model, ConstrainedParameters):
        layer.freeze()


def unfreeze(model: Any) -> None:
    """Undo `freeze`: restore the same raw parameter objects, in their order, with their values, gradients and
    ``requires_grad``, so that an existing optimizer can continue."""
    for _, layer in find_modules(model, ConstrainedParameters):
        layer.unfreeze()
