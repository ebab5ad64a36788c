"""Deprecated name of `bionets.layers.spiking.constraints`."""

import warnings
from typing import Any

from bionets.layers.spiking import constraints

_RENAMED = {
    "BOUNDS": "CONSTRAINTS",
    "Bound": "Constraint",
    "BoundParameters": "ConstrainedParameters",
    "Value": "Value",
}


def __getattr__(name: str) -> Any:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _RENAMED[name]
    warnings.warn(f"{__name__}.{name} is now called {constraints.__name__}.{new}", DeprecationWarning, stacklevel=2)
    return getattr(constraints, new)
