"""Batches cut data sets into batches, and batches into the shares of processes."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionets.tasks import Batches
from bionets.tasks.batches import batch_bounds


def numbered(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """x [2, rows, 1] and a target [rows, 1] that both hold each row's number."""
    number = torch.arange(rows, dtype=torch.float32)
    return number.view(1, rows, 1).expand(2, rows, 1), number.view(rows, 1)


def test_batches_without_order_are_the_rows_as_stored() -> None:
    batches = Batches(numbered(7), (1, 0), batch_size=3)
    targets = [target.flatten().tolist() for _, target in batches]
    assert targets == [[0, 1, 2], [3, 4, 5], [6]]
    assert len(batches) == 3


def test_x_and_target_keep_their_layout_and_stay_aligned() -> None:
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    for x, target in Batches(numbered(10), (1, 0), batch_size=5, order=order):
        assert x.shape == (2, 5, 1)
        assert x.is_contiguous()
        assert target.shape == (5, 1)
        assert torch.equal(x[0], target)
        assert torch.equal(x[1], target)


def test_batches_follow_the_order() -> None:
    order = torch.tensor([3, 1, 0, 2])
    batches = Batches(numbered(4), (1, 0), batch_size=2, order=order)
    assert torch.cat([target for _, target in batches]).flatten().tolist() == order.tolist()


def test_iterating_again_gives_the_same_batches() -> None:
    batches = Batches(numbered(9), (1, 0), batch_size=2, order=torch.randperm(9))
    first, second = list(batches), list(batches)
    assert all(torch.equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("order", [None, torch.arange(4)])
def test_a_batch_that_is_changed_in_place_does_not_change_the_data(order: torch.Tensor | None) -> None:
    data = torch.zeros(4, 3), torch.zeros(2, 4)
    batches = Batches(data, (0, 1), batch_size=2, order=order)
    for batch in batches:
        assert all(tensor.is_contiguous() and not tensor.any() for tensor in batch)
        for tensor in batch:
            tensor.add_(1)
    assert not any(tensor.any() for batch in batches for tensor in batch)


def test_drop_last_leaves_out_the_incomplete_batch() -> None:
    assert [len(target) for _, target in Batches(numbered(7), (1, 0), batch_size=3, drop_last=True)] == [3, 3]
    assert [len(target) for _, target in Batches(numbered(6), (1, 0), batch_size=3, drop_last=True)] == [3, 3]


@given(
    rows=st.integers(1, 40),
    share=st.integers(1, 5),
    world_size=st.integers(1, 4),
    drop_last=st.booleans(),
    seed=st.integers(0, 9),
)
def test_shares_of_all_ranks_make_up_the_whole_batch(
    rows: int, share: int, world_size: int, drop_last: bool, seed: int
) -> None:
    batch_size = share * world_size
    if drop_last and rows < batch_size:
        return
    data = numbered(rows)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    ranks = [
        Batches(data, (1, 0), batch_size, order=order, drop_last=drop_last, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    bounds = batch_bounds(rows, batch_size, drop_last)
    assert all(len(list(batches)) == len(batches) == len(bounds) for batches in ranks)
    for number, ((start, stop), shares) in enumerate(zip(bounds, zip(*ranks, strict=True), strict=True)):
        sizes = [batches.shares[number] for batches in ranks]
        assert sum(sizes) == stop - start == ranks[0].sizes[number]
        assert max(sizes) - min(sizes) <= 1
        assert [len(target) for _, target in shares] == [max(size, 1) for size in sizes]
        counted = [share for share, size in zip(shares, sizes, strict=True) if size]
        assert torch.equal(torch.cat([target for _, target in counted]), data[1][order[start:stop]])
        assert torch.equal(torch.cat([x for x, _ in counted], dim=1), data[0][:, order[start:stop]])
    if not drop_last:
        assert bounds[0][0] == 0
        assert bounds[-1][1] == rows
    assert all(before[1] == after[0] for before, after in pairwise(bounds))


@given(rows=st.integers(1, 20), share=st.integers(1, 3), world_size=st.integers(1, 4))
def test_random_numbers_of_a_batch_do_not_depend_on_the_number_of_processes(
    rows: int, share: int, world_size: int
) -> None:
    def prepare(number: int, x: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.rand(target.shape, generator=torch.Generator().manual_seed(number))
        return x[0] + noise, target  # the batch dimension of x moves

    def batches(rank: int, processes: int) -> Batches:
        return Batches(
            numbered(rows),
            (1, 0),
            share * world_size,
            rank=rank,
            world_size=processes,
            prepare=prepare,
            prepared_dims=(0, 0),
        )

    ranks = [batches(rank, world_size) for rank in range(world_size)]
    for number, (whole, shares) in enumerate(zip(batches(0, 1), zip(*ranks, strict=True), strict=True)):
        counted = [x for (x, _), of in zip(shares, ranks, strict=True) if of.shares[number]]
        assert torch.equal(torch.cat(counted), whole[0])


def test_a_batch_size_that_cannot_be_shared_equally_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^task\.batch_size must be divisible by the number of processes, 2.*got 5$"):
        Batches(numbered(10), (1, 0), batch_size=5, world_size=2)


def test_tensors_of_different_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equally many rows, got \[4, 3\]"):
        Batches((torch.zeros(2, 4, 1), torch.zeros(3, 1)), (1, 0), batch_size=2)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="a data set of 1 rows is too small"):
        Batches(numbered(1), (1, 0), batch_size=2, drop_last=True)


def test_rows_of_weight_zero_stay_with_their_process() -> None:
    """The first process has all of the weight, but half of the rows."""
    target = torch.tensor([1.0, 1, 0, 0])
    ranks = [
        Batches(
            (torch.arange(4.0), target),
            (0, 0),
            4,
            rank=rank,
            world_size=2,
            prepare=lambda number, x, target: (x, target),
            weigh=lambda target: float(target.sum()),
        )
        for rank in range(2)
    ]
    assert [batches.shares for batches in ranks] == [[2], [0]] and ranks[0].sizes == ranks[1].sizes == [2]
    assert [batches.own_rows for batches in ranks] == [[2], [2]]
    assert [x.tolist() for batches in ranks for x, _ in batches] == [[0, 1], [2, 3]]


def test_each_batch_of_a_single_process_is_weighed_once() -> None:
    weighed: list[int] = []
    Batches(numbered(6), (1, 0), batch_size=2, weigh=lambda target: weighed.append(1) or 1)  # type: ignore[func-returns-value]
    assert len(weighed) == 3
