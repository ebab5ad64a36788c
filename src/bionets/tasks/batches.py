"""Batches cut out of tensors that hold a whole data set."""

from collections.abc import Callable, Iterator

from torch import Tensor


def batch_bounds(rows: int, batch_size: int, world_size: int = 1, drop_last: bool = False) -> list[tuple[int, int]]:
    """The (first, past the last) row of every batch.

    The last batch holds what remains, unless ``drop_last``. If that is less than one row for each of ``world_size``
    processes, it joins the batch before it, so that no process is left with an empty share.
    """
    starts = list(range(0, rows, batch_size))
    bounds = [(start, min(start + batch_size, rows)) for start in starts]
    last_size = bounds[-1][1] - bounds[-1][0]
    if drop_last and last_size < batch_size:
        return bounds[:-1]
    if last_size < world_size and len(bounds) > 1:
        return [*bounds[:-2], (bounds[-2][0], rows)]
    return bounds


class Batches:
    """An iterable of tuples of tensors, sliced from whole data sets along their batch dimensions.

    Iterating again gives the same batches again; another epoch's order is another ``Batches``.

    Under distributed training every process builds the same ``Batches`` but for its ``rank``, and gets its own
    contiguous share of every batch; the shares of all ranks, one after the other, are the whole batch. They are of
    equal size except in a last, smaller batch that does not divide by ``world_size``.

    Args:
        tensors: the data, equally many rows in each.
        dims: the batch dimension of each tensor; ``(1, 0)`` for x ``[T, N, I]`` and a target ``[N, O]``.
        batch_size: rows of a batch over all processes together.
        order: a permutation of the rows, or None for the order in which they are stored.
        drop_last: leave out a last batch that is smaller than the others.
        rank, world_size: this process, and how many there are.
        prepare: makes the number of a batch and its slices into what is handed out.

    Raises:
        ValueError: if the tensors differ in rows, ``batch_size`` does not divide by ``world_size``, or there are too
            few rows for a single batch.
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
    ) -> None:
        sizes = [tensor.shape[dim] for tensor, dim in zip(tensors, dims, strict=True)]
        if len(set(sizes)) != 1:
            raise ValueError(f"the tensors of a data set must have equally many rows, got {sizes}")
        if batch_size % world_size:
            raise ValueError(
                f"task.batch_size must divide by the number of processes, {world_size}, to be shared equally; "
                f"got {batch_size}"
            )
        rows = sizes[0]
        if rows < max(world_size, batch_size if drop_last else 1):
            raise ValueError(
                f"a data set of {rows} rows is too small for a batch: make it larger or task.batch_size smaller"
            )
        # Row indexing is only fast with the rows in front: index_select along dimension 1 can be 1000 times slower.
        self._rows_first = [tensor.movedim(dim, 0) for tensor, dim in zip(tensors, dims, strict=True)]
        self._dims = dims
        self._order = order
        self._prepare = prepare
        self._shares = [
            (start + (stop - start) * rank // world_size, start + (stop - start) * (rank + 1) // world_size)
            for start, stop in batch_bounds(rows, batch_size, world_size, drop_last)
        ]

    def __len__(self) -> int:
        return len(self._shares)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for number, (start, stop) in enumerate(self._shares):
            rows = slice(start, stop) if self._order is None else self._order[start:stop]
            batch = tuple(
                tensor[rows].movedim(0, dim).contiguous()
                for tensor, dim in zip(self._rows_first, self._dims, strict=True)
            )
            yield batch if self._prepare is None else self._prepare(number, *batch)
