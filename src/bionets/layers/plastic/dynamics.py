"""The dynamics of voltages, traces and thresholds: decay to rest, and response to an input."""

from dataclasses import dataclass

import torch
from torch import Tensor

Value = float | Tensor
"""One value for all neurons, or a tensor with one for each."""


@dataclass(frozen=True)
class LinearDynamics:
    """x ← rest + λ (x − rest) + α·input, with λ = ``decay`` and α = ``scale``, both for one step."""

    decay: Value
    scale: Value = 1.0

    def coefficients(self) -> tuple[Value, Value]:
        """(decay, gain) of x ← rest + decay·(x − rest) + gain·input."""
        return self.decay, self.scale


@dataclass(frozen=True)
class ExponentialDynamics:
    """x ← x + dt/τ (−(x − rest) + α·input), with τ = ``time_constant`` and α = ``scale``; τ and dt in the same unit."""

    time_constant: Value
    scale: Value = 1.0
    dt: float = 1.0

    def __post_init__(self) -> None:
        if not (torch.as_tensor(self.time_constant) > 0).all():
            raise ValueError(f"a time constant must be above zero, got {self.time_constant}")
        if not self.dt > 0:
            raise ValueError(f"dt must be above zero, got {self.dt}")

    def coefficients(self) -> tuple[Value, Value]:
        """(decay, gain) of x ← rest + decay·(x − rest) + gain·input."""
        rate = self.dt / self.time_constant
        return 1 - rate, rate * self.scale


Dynamics = LinearDynamics | ExponentialDynamics
"""The dynamics of a voltage, trace or threshold."""
