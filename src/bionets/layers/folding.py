"""All time steps in one call of a model's forward, as T·B samples along the first axis.

Layers without a state get a batch of T·B samples. Layers with a state unfold it to ``[T, B, ...]`` and scan over time.
If sequences have different lengths, layers without a state get only the valid steps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from torch import Tensor, nn

from bionets.layers.lengths import valid_steps
from bionets.layers.time_invariant import repeat_over_time


@dataclass
class Folding:
    """One pass over T steps of a batch.

    time, batch: T and B.
    one_step: whether the tensors passed between layers hold a single step, which is repeated T times.
    lengths: `[B]`, if sequences end before T; then only valid steps are on the first axis, in order of time.
    reset: `[T, B]`, whether states are reset before a step.
    called: the stateful layers that were called, each with its previous states.
    """

    time: int
    batch: int
    one_step: bool = False
    lengths: Tensor | None = None
    reset: Tensor | None = None
    called: dict[int, tuple[nn.Module, dict[str, Tensor | None]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = self.lengths
        self.valid = None if lengths is None else valid_steps(lengths, self.time).flatten().nonzero().squeeze(1)
        self.samples = self.time * self.batch if self.valid is None else len(self.valid)

    def note_call(self, layer: nn.Module) -> None:
        """Record that a stateful layer is called, before its states change.

        Raises:
            RuntimeError: the layer, or a stateful layer inside it, was called before in this pass.
        """
        stateful = [module for module in layer.modules() if hasattr(type(module), "state_shapes")]
        if any(id(module) in self.called for module in stateful):
            raise RuntimeError(
                f"{type(layer).__name__} is called more than once in a time step, which unroll cannot put in order: "
                "call the model step by step, torch.stack([model(step) for step in x])"
            )
        self.called |= {id(module): (module, dict(module._buffers)) for module in stateful}

    def unfold(self, x: Tensor, name: str, pieces: int = 1) -> Tensor:
        """Reshape x ``[T·B, ...]`` to ``[T, B, ...]`` for the layer ``name``, with zeros past the end of each sequence.

        ``pieces`` is the number of parts into which the model divides each sample if x has no step that shows it.

        Raises:
            ValueError: the size of the first axis is not a multiple of T, or of the number of valid steps.
        """
        if self.one_step:
            return repeat_over_time(x, self.time)
        rows = self.time if self.valid is None else self.samples
        if x.dim() == 0 or (rows and x.size(0) % rows):
            raise ValueError(
                f"{name}: within unroll the first axis of its input must hold {self.time} steps of a batch, got shape "
                f"{tuple(x.shape)}: the model must leave the batch on the first axis"
            )
        if self.valid is None:
            return x.unflatten(0, (self.time, x.size(0) // self.time if self.time else self.batch * pieces))
        pieces = len(x) // rows if rows else pieces
        whole = x.new_zeros(self.time * self.batch, pieces, *x.shape[1:])
        whole = whole.index_copy(0, self.valid, x.unflatten(0, (rows, pieces)))
        return whole.view(self.time, self.batch * pieces, *x.shape[1:])

    def fold(self, y: Tensor) -> Tensor:
        """The inverse of `unfold`: reshape y ``[T, B, ...]`` to ``[T·B, ...]``, without the steps past the ends."""
        if self.valid is None:
            return y.flatten(0, 1)
        pieces = y.shape[1] // max(self.batch, 1)
        whole = y.reshape(self.time * self.batch, pieces, *y.shape[2:])
        return whole.index_select(0, self.valid).flatten(0, 1)

    def lengths_of(self, x: Tensor) -> Tensor | None:
        """The lengths of the sequences in x ``[T, B, ...]``, a result of `unfold`."""
        if self.lengths is None:
            return None
        return self.lengths.repeat_interleave(x.shape[1] // max(self.batch, 1))

    def reset_of(self, x: Tensor) -> Tensor | None:
        """The reset mask of the sequences in x ``[T, B, ...]``, a result of `unfold`."""
        return None if self.reset is None else self.reset.repeat_interleave(x.shape[1] // max(self.batch, 1), 1)

    def restore(self) -> None:
        """Restore the states that the layers had before the pass."""
        for module, buffers in self.called.values():
            module._buffers.update(buffers)


_current: ContextVar[Folding | None] = ContextVar("folding", default=None)


def current_folding() -> Folding | None:
    """The current pass; None in ordinary calls."""
    return _current.get()


@contextmanager
def folding(fold: Folding | None) -> Iterator[None]:
    """Make stateful layers unfold their input within this context; with None, calls are ordinary."""
    token = _current.set(fold)
    try:
        yield
    finally:
        _current.reset(token)


def refuse_within_unroll(what: str, instead: str) -> None:
    """Raise RuntimeError within a pass of `unroll`, where ``what`` would treat all steps as one batch."""
    if current_folding() is not None:
        raise RuntimeError(f"{what} within unroll: {instead}")


def refuse_sequence_layer(layer: nn.Module) -> None:
    """Raise RuntimeError if a layer that runs over time is called within `unroll`."""
    name = type(layer).__name__
    recurrent = hasattr(layer, "hidden_size")
    or_step = f", or take one step at a time with StatefulRecurrent({name}(...))" if recurrent else ""
    refuse_within_unroll(
        f"{name} is called",
        "it would take the steps and the batch for one sequence: unroll the layers before and after it, and call it on "
        f"[T, B, ...] between them, as in {name.lower()}(unroll(before, x)){or_step}",
    )


def refuse_cell(cell: nn.Module) -> None:
    """Raise RuntimeError if a cell, which takes its state as an argument, is called within `unroll`."""
    refuse_within_unroll(
        f"{type(cell).__name__} is called",
        "it does not keep its state from step to step: use StatefulRecurrent of the sequence layer instead, or "
        "call the model step by step, torch.stack([model(step) for step in x])",
    )
