"""Batches, sliced from tensors that hold a whole data set."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def batch_bounds(rows: int, batch_size: int, drop_last: bool = False) -> list[tuple[int, int]]:
    """The (start, stop) rows of every batch. With ``drop_last``, a smaller last batch is left out."""
    bounds = [(start, min(start + batch_size, rows)) for start in range(0, rows, batch_size)]
    return bounds[:-1] if drop_last and bounds[-1][1] - bounds[-1][0] < batch_size else bounds


class Batches:
    """An iterable of tuples of tensors, sliced from whole data sets along their batch dimensions.

    Each iteration gives the same batches; each epoch has its own ``Batches`` with its own order.

    In distributed training, every process builds the same ``Batches`` except for ``rank``, and gets its own contiguous
    share of every batch. The shares of all ranks, concatenated, are the whole batch; their sizes differ by at most one
    row. If the last batch has fewer rows than there are processes, a process with an empty share gets the first row of
    the batch, so that all processes take the same number of steps. ``own_rows`` and ``shares`` are 0 for this row.

    Args:
        tensors: the data; all tensors have the same number of rows.
        dims: the batch dimension of each tensor; ``(1, 0)`` for x ``[T, N, I]`` and a target ``[N, O]``.
        batch_size: rows of a batch, summed over all processes.
        order: a permutation of the rows, or None for the order in which they are stored.
        drop_last: whether a last batch that is smaller than the others is left out.
        rank, world_size: the number of this process, and the number of processes.
        prepare: called with the number of a batch and its slices, returns the batch to use. Every process prepares the
            whole batch and takes its share of the result, so that random numbers do not depend on the number of
            processes.
        prepared_dims: the batch dimensions of the tensors that ``prepare`` returns; None for ``dims``.
        weigh: called with the slices of all stored tensors except the first, returns the weight of the batch; None for
            its number of rows.

    Attributes:
        sizes: the weight of each batch, summed over all processes.
        shares: the part of this weight that belongs to this process.
        own_rows: the number of rows of each batch that belong to this process.

    Raises:
        ValueError: the tensors differ in their number of rows, ``batch_size`` is not divisible by ``world_size``, or
            there are too few rows for a single batch.
    """

    def __init__(
        self,
        tensors: tuple[Tensor, ...],
        dims: tuple[int, ...],
        batch_size: int,
        *,
        order: Tensor | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        prepare: Callable[..., tuple[Tensor, ...]] | None = None,
        prepared_dims: tuple[int, ...] | None = None,
        weigh: Callable[..., float] | None = None,
    ) -> None:
        rows = [tensor.shape[dim] for tensor, dim in zip(tensors, dims, strict=True)]
        if len(set(rows)) != 1:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
            raise ValueError(
                f"the tensors of a data set must have equally many rows, got {rows}: "
                f"their shapes are {shapes}, their batch dimensions {tuple(dims)}"
            )
        if batch_size % world_size:
            raise ValueError(
                f"task.batch_size must be divisible by the number of processes, {world_size}, to be shared equally; "
                f"got {batch_size}"
            )
        if rows[0] < (batch_size if drop_last else 1):
            raise ValueError(
                f"a data set of {rows[0]} rows is too small for a batch: make it larger or task.batch_size smaller"
            )
        # Indexing rows is only fast along dimension 0: index_select along dimension 1 can be 1000 times slower.
        self._rows_first = [tensor.movedim(dim, 0) for tensor, dim in zip(tensors, dims, strict=True)]
        self._dims = dims
        self._order = order
        self._prepare = prepare
        self._prepared_dims = dims if prepared_dims is None else prepared_dims
        self._bounds = batch_bounds(rows[0], batch_size, drop_last)
        self._own = [
            (size * rank // world_size, size * (rank + 1) // world_size)
            for size in (stop - start for start, stop in self._bounds)
        ]
        own = [(start + first, start + last) for (start, _), (first, last) in zip(self._bounds, self._own, strict=True)]
        self.own_rows = [stop - start for start, stop in own]
        self.sizes = [self._weight(start, stop, weigh) for start, stop in self._bounds]
        self.shares = self.sizes if own == self._bounds else [self._weight(start, stop, weigh) for start, stop in own]

    def __len__(self) -> int:
        return len(self._bounds)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for number, (start, stop) in enumerate(self._bounds):
            first, last = self._own[number]
            own = slice(first, last) if first < last else slice(0, 1)
            if self._prepare is None:
                yield self._rows(start + own.start, start + own.stop)
                continue
            batch = self._prepare(number, *self._rows(start, stop))
            if self.own_rows[number] < stop - start:
                batch = tuple(
                    tensor.movedim(dim, 0)[own].movedim(0, dim).contiguous()
                    for tensor, dim in zip(batch, self._prepared_dims, strict=True)
                )
            yield batch

    def _weight(self, start: int, stop: int, weigh: Callable[..., float] | None) -> float:
        return stop - start if weigh is None or start == stop else weigh(*self._rows(start, stop, without=1))

    def _rows(self, start: int, stop: int, without: int = 0) -> tuple[Tensor, ...]:
        """The rows from ``start`` to ``stop`` in the order, in each tensor's layout, except the first ``without``
        tensors."""
        rows = slice(start, stop) if self._order is None else self._order[start:stop]
        parts = zip(self._rows_first[without:], self._dims[without:], strict=True)
        views = [tensor[rows].movedim(0, dim) for tensor, dim in parts]
        if self._order is None:  # a slice shares its memory with the data set, which a loss must not change
            return tuple(view.clone(memory_format=torch.contiguous_format) for view in views)
        return tuple(view.contiguous() for view in views)
