"""All time steps at once through a model's forward: T·B samples on the first axis.

Layers without a state see a batch of T·B samples. Layers with a state unfold it to ``[T, B, ...]`` and scan over time.
Of sequences with different lengths, layers without a state see the valid steps alone.
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
    one_step: whether the tensors that are passed on hold a single step, which all T steps repeat.
    lengths: `[B]`, of sequences that end before T; only their valid steps are then on the first axis, in order of time.
    reset: `[T, B]`, whether states start anew before a step.
    called: the stateful layers that were called, each with the states that it had before.
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
        """Note that a stateful layer is called, before its states change.

        Raises:
            RuntimeError: it, or a stateful layer within it, was called before in this pass.
        """
        stateful = [module for module in layer.modules() if hasattr(type(module), "state_shapes")]
        if any(id(module) in self.called for module in stateful):
            raise RuntimeError(
                f"{type(layer).__name__} is called more than once in a time step, which unroll cannot put in order: "
                "call the model step by step, torch.stack([model(step) for step in x])"
            )
        self.called |= {id(module): (module, dict(module._buffers)) for module in stateful}

    def unfold(self, x: Tensor, name: str) -> Tensor:
        """x ``[T·B, ...]`` as ``[T, B, ...]``, for the layer of this name; zeros past the end of each sequence.

        Raises:
            ValueError: the first axis is no multiple of T, or of the number of valid steps.
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
            return x.unflatten(0, (self.time, x.size(0) // self.time if self.time else self.batch))
        pieces = len(x) // rows if rows else 1  # into which the model has cut each sample
        whole = x.new_zeros(self.time * self.batch, pieces, *x.shape[1:])
        whole = whole.index_copy(0, self.valid, x.unflatten(0, (rows, pieces)))
        return whole.view(self.time, self.batch * pieces, *x.shape[1:])

    def fold(self, y: Tensor) -> Tensor:
        """Back from `unfold`: y ``[T, B, ...]`` as ``[T·B, ...]``, without the steps past the ends."""
        if self.valid is None:
            return y.flatten(0, 1)
        pieces = y.shape[1] // max(self.batch, 1)
        whole = y.reshape(self.time * self.batch, pieces, *y.shape[2:])
        return whole.index_select(0, self.valid).flatten(0, 1)

    def lengths_of(self, x: Tensor) -> Tensor | None:
        """The lengths of the sequences in x ``[T, B, ...]``, which `unfold` gave."""
        if self.lengths is None:
            return None
        return self.lengths.repeat_interleave(x.shape[1] // max(self.batch, 1))

    def reset_of(self, x: Tensor) -> Tensor | None:
        """The reset mask of the sequences in x ``[T, B, ...]``, which `unfold` gave."""
        return None if self.reset is None else self.reset.repeat_interleave(x.shape[1] // max(self.batch, 1), 1)

    def restore(self) -> None:
        """Give the layers back the states that they had before the pass."""
        for module, buffers in self.called.values():
            module._buffers.update(buffers)


_current: ContextVar[Folding | None] = ContextVar("folding", default=None)


def current_folding() -> Folding | None:
    """The pass that is going on, None within ordinary calls."""
    return _current.get()


@contextmanager
def folding(fold: Folding | None) -> Iterator[None]:
    """Make stateful layers unfold their input within this context; with None, calls are ordinary ones."""
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
    recurrent = hasattr(layer, "hidden_size")
    or_step = f", or take one step at a time with StatefulRecurrent({name}(...))" if recurrent else ""
    refuse_within_unroll(
        f"{name} is called",
        "it would take the steps and the batch for one sequence: unroll the layers before and after it, and call it on "
        f"[T, B, ...] between them, as in {name.lower()}(unroll(before, x)){or_step}",
    )


def refuse_cell(cell: nn.Module) -> None:
    """Raise RuntimeError if a cell, to which the caller gives its state, is called within `unroll`."""
    refuse_within_unroll(
        f"{type(cell).__name__} is called",
        "it does not keep its state from step to step: use StatefulRecurrent of the sequence layer instead, or "
        "call the model step by step, torch.stack([model(step) for step in x])",
    )
