"""All steps at once through a model's forward: T·B samples on the first axis, taken apart by layers with a state."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from torch import Tensor, nn

__all__ = ["Folding", "current_folding", "folding"]


@dataclass
class Folding:
    """One pass over T steps, and the stateful layers that it has met so far."""

    time: int
    met: set[int] = field(default_factory=set)

    def unfold(self, layer: nn.Module, x: Tensor) -> Tensor:
        """x ``[T·B, ...]`` as ``[T, B, ...]``.

        Raises:
            ValueError: the first axis is no multiple of T.
            RuntimeError: the layer is met again.
        """
        name = type(layer).__name__
        if id(layer) in self.met:
            raise RuntimeError(
                f"{name} is called more than once in a time step, which unroll cannot put in order: call the model "
                "step by step, torch.stack([model(step) for step in x])"
            )
        self.met.add(id(layer))
        if self.time and len(x) % self.time:
            raise ValueError(
                f"{name}: within unroll the first axis of its input must hold {self.time} steps of a batch, got shape "
                f"{tuple(x.shape)}: the model must leave the batch on the first axis"
            )
        return x.unflatten(0, (self.time, len(x) // self.time if self.time else 0))


_current: ContextVar[Folding | None] = ContextVar("folding", default=None)


def current_folding() -> Folding | None:
    """The pass that is going on, None within ordinary calls."""
    return _current.get()


@contextmanager
def folding(time: int | None) -> Iterator[None]:
    """Stateful layers called herein take T·B samples of ``time`` steps; with None, ordinary calls."""
    token = _current.set(None if time is None else Folding(time))
    try:
        yield
    finally:
        _current.reset(token)
