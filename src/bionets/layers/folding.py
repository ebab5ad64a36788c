"""All time steps at once through a model's forward: T·B samples on the first axis.

Layers without a state see a batch of T·B samples. Layers with a state unfold it to ``[T, B, ...]`` and scan over time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from torch import Tensor, nn

from bionets.layers.time_invariant import repeat_over_time

__all__ = ["Folding", "current_folding", "folding", "refuse_cell", "refuse_sequence_layer", "refuse_within_unroll"]


@dataclass
class Folding:
    """One pass over T steps of a batch.

    time, batch: T and B.
    one_step: whether the tensors that are passed on hold a single step, which all T steps repeat.
    met: the stateful layers that were called, each with the states that it had before.
    """

    time: int
    batch: int
    one_step: bool = False
    met: dict[int, tuple[nn.Module, dict[str, Tensor | None]]] = field(default_factory=dict)

    def meet(self, layer: nn.Module) -> None:
        """Note that a stateful layer is called, before its states change.

        Raises:
            RuntimeError: it, or a stateful layer within it, was called before in this pass.
        """
        stateful = [module for module in layer.modules() if hasattr(type(module), "state_shapes")]
        if any(id(module) in self.met for module in stateful):
            raise RuntimeError(
                f"{type(layer).__name__} is called more than once in a time step, which unroll cannot put in order: "
                "call the model step by step, torch.stack([model(step) for step in x])"
            )
        self.met |= {id(module): (module, dict(module._buffers)) for module in stateful}

    def unfold(self, x: Tensor, name: str) -> Tensor:
        """x ``[T·B, ...]`` as ``[T, B, ...]``, for the layer of this name.

        Raises:
            ValueError: the first axis is no multiple of T.
        """
        if self.one_step:
            return repeat_over_time(x, self.time)
        if x.dim() == 0 or (self.time and len(x) % self.time):
            raise ValueError(
                f"{name}: within unroll the first axis of its input must hold {self.time} steps of a batch, got shape "
                f"{tuple(x.shape)}: the model must leave the batch on the first axis"
            )
        return x.unflatten(0, (self.time, len(x) // self.time if self.time else self.batch))

    def restore(self) -> None:
        """Give the layers back the states that they had before the pass."""
        for module, buffers in self.met.values():
            module._buffers.update(buffers)


_current: ContextVar[Folding | None] = ContextVar("folding", default=None)


def current_folding() -> Folding | None:
    """The pass that is going on, None within ordinary calls."""
    return _current.get()


@contextmanager
def folding(fold: Folding | None) -> Iterator[None]:
    """Stateful layers called herein unfold their input; with None, calls are ordinary ones."""
    token = _current.set(fold)
    try:
        yield
    finally:
        _current.reset(token)


def refuse_within_unroll(what: str, instead: str) -> None:
    """Raise RuntimeError if a pass of `unroll` is going on, in which ``what`` would see all steps as one batch."""
    if current_folding() is not None:
        raise RuntimeError(f"{what} within unroll: {instead}")


def refuse_sequence_layer(layer: nn.Module) -> None:
    """Raise RuntimeError if a layer that works along time is called within `unroll`."""
    name = type(layer).__name__
    refuse_within_unroll(
        f"{name} is called",
        "it would take the steps and the batch for one sequence: unroll the layers before and after it, and call it on "
        f"[T, B, ...] between them, as in {name.lower()}(unroll(before, x))",
    )


def refuse_cell(cell: nn.Module) -> None:
    """Raise RuntimeError if a cell, to which the caller gives its state, is called within `unroll`."""
    refuse_within_unroll(
        f"{type(cell).__name__} is called",
        "it does not keep its state from step to step: use the sequence layer instead, outside of the unrolled model, "
        "or call the model step by step, torch.stack([model(step) for step in x])",
    )
