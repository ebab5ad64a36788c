"""One-line errors for invalid values of a model's keys, and for a layer or a task that does not fit a model."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bionets import annotations


class InterfaceError(ValueError):
    """A user's layer or task does not have the interface that a model requires."""


def require_positive(**values: int | Sequence[int]) -> None:
    """Raise ``ValueError`` with the first of the model's keys that is empty, below 1, or contains a number below 1."""
    for name, value in values.items():
        sizes = list(value) if isinstance(value, Sequence) else [value]
        if not sizes or min(sizes) < 1:
            raise ValueError(f"model.{name} must be at least 1, got {sizes if isinstance(value, Sequence) else value}")


def require_not_negative(**values: float) -> None:
    """Raise ``ValueError`` with the first of the model's keys that is below 0 or NaN."""
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"model.{name} must not be negative, got {value}")


require_one_of = partial(annotations.require_one_of, "model.")


def look_up(name: str, chosen: str, choices: Mapping[str, Any]) -> Any:
    """The choice with this name. If there is none, raises ``ValueError`` with the key and all choices."""
    require_one_of(choices, **{name: chosen})
    return choices[chosen]


@contextmanager
def explain_dtype(x: Tensor, model: nn.Module) -> Iterator[None]:
    """Turn an error within this context into an InterfaceError if x does not have the precision of the model."""
    try:
        yield
    except (InterfaceError, torch.OutOfMemoryError):
        raise
    except (RuntimeError, ValueError) as error:
        precision = dtype_of_weights(model) or x.dtype
        if x.is_floating_point() and x.dtype != precision:
            raise InterfaceError(
                f"x of the task is {x.dtype} and the model is {precision}: convert x, x.to({precision}) ({error})"
            ) from error
        raise


def require_gradient(loss: Tensor) -> None:
    """Raise InterfaceError for a loss from which no parameter can learn."""
    if not loss.requires_grad:
        raise InterfaceError("the loss of the task has no gradient: leave out detach(), item() and argmax() in it")


def dtype_of_weights(model: nn.Module) -> torch.dtype | None:
    """The dtype of the first floating-point parameter of a model; None without one."""
    return next((each.dtype for each in model.parameters() if each.is_floating_point()), None)
