"""One-line errors for the values of a model's keys."""

from collections.abc import Sequence


class InterfaceError(ValueError):
    """A layer or a task of the user's own does not keep to the interface that a model needs."""


def require_positive(**values: int | Sequence[int]) -> None:
    """Raise ``ValueError`` naming the first of the model's keys that is empty, below 1, or holds a number below 1."""
    for name, value in values.items():
        sizes = list(value) if isinstance(value, Sequence) else [value]
        if not sizes or min(sizes) < 1:
            raise ValueError(f"model.{name} must be at least 1, got {sizes if isinstance(value, Sequence) else value}")
