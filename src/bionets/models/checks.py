"""One-line errors for the values of a model's keys."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any


class InterfaceError(ValueError):
    """A layer or a task of the user's own does not keep to the interface that a model needs."""


def require_positive(**values: int | Sequence[int]) -> None:
    """Raise ``ValueError`` naming the first of the model's keys that is empty, below 1, or holds a number below 1."""
    for name, value in values.items():
        sizes = list(value) if isinstance(value, Sequence) else [value]
        if not sizes or min(sizes) < 1:
            raise ValueError(f"model.{name} must be at least 1, got {sizes if isinstance(value, Sequence) else value}")


def require_not_negative(**values: float) -> None:
    """Raise ``ValueError`` naming the first of the model's keys that is below 0."""
    for name, value in values.items():
        if value < 0:
            raise ValueError(f"model.{name} must not be negative, got {value}")


def require_one_of(choices: Collection[str], **values: str) -> None:
    """Raise ``ValueError`` naming the first of the model's keys whose value is none of the choices."""
    for name, value in values.items():
        if value not in choices:
            raise ValueError(f"model.{name}={value} is unknown: choose {', '.join(choices)}")


def look_up(name: str, chosen: str, choices: Mapping[str, Any]) -> Any:
    """The choice of this name; ``ValueError`` with the key and all choices where there is none."""
    require_one_of(choices, **{name: chosen})
    return choices[chosen]
