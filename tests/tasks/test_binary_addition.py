"""Binary addition keeps its protocol, and adds as Python's integers do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bionets.tasks import BinaryAddition, TaskSpec
from bionets.tasks.binary_numbers import (
    SHARES,
    SMALLEST_DISJOINT_LENGTH,
    add,
    draw_pairs,
    draw_pairs_of_split,
    split_of,
)
from bionets.tasks.seeding import generator


def as_integer(bits: Tensor) -> int:
    """The integer whose bits, lowest first, these are."""
    return sum(int(bit) << position for position, bit in enumerate(bits.flatten().tolist()))


def all_pairs(length: int) -> Tensor:
    """Every pair of numbers with a leading 1 whose lengths sum to ``length``."""
    pairs = [
        (first, second)
        for first_length in range(1, length)
        for first in range(2 ** (first_length - 1), 2**first_length)
        for second in range(2 ** (length - first_length - 1), 2 ** (length - first_length))
    ]
    bits = [[[first >> step & 1, second >> step & 1] for first, second in pairs] for step in range(length + 1)]
    return torch.tensor(bits, dtype=torch.uint8)


def test_the_defaults_are_the_published_protocol() -> None:
    task = BinaryAddition()
    assert task.spec == TaskSpec("sequence_to_sequence", input_size=2, output_size=1)
    assert (task.train_size, task.val_size, task.test_size, task.batch_size) == (10_000, 1_000, 1_000, 200)
    assert task.epochs == 18 * 15
    assert task.stop_below is None
    assert (task.monitor, task.mode) == ("val/loss", "min")
    assert task.train_batches_per_epoch == 50
    assert task.test_names == [f"length_{length}" for length in range(3, 61)]
    assert [task.length_of_epoch(epoch) for epoch in (0, 14, 15, 29, 30, 269, 1000)] == [3, 3, 4, 4, 5, 20, 20]


def test_sequences_have_one_step_more_than_their_length() -> None:
    task = BinaryAddition(train_size=10, val_size=10, test_size=10)
    assert [next(iter(task.train_batches(epoch)))[0].shape for epoch in (0, 100, 269)] == [
        (4, 10, 2),
        (10, 10, 2),
        (21, 10, 2),
    ]
    x, target = next(iter(task.val_dataloader()))
    assert x.shape == (21, 10, 2)
    assert target.shape == (21, 10, 1)
    assert [len(next(iter(loader))[0]) for loader in task.test_dataloader()] == [length + 1 for length in range(3, 61)]


def test_without_curriculum_every_epoch_has_the_full_length() -> None:
    task = BinaryAddition(curriculum=False)
    assert {task.length_of_epoch(epoch) for epoch in range(task.epochs)} == {20}
    assert task.epochs == BinaryAddition().epochs


@settings(max_examples=30)
@given(length=st.integers(2, 200), seed=st.integers(0, 1000), split=st.sampled_from(list(SHARES)))
def test_target_is_the_sum(length: int, seed: int, split: str) -> None:
    pairs = draw_pairs_of_split(split, length, 10, generator(seed))
    sums = add(pairs)
    assert pairs.shape == (length + 1, 10, 2)
    for row in range(10):
        first, second = as_integer(pairs[:, row, 0]), as_integer(pairs[:, row, 1])
        assert first.bit_length() + second.bit_length() == length
        assert min(first, second) >= 1
        assert as_integer(sums[:, row]) == first + second


def test_sums_longer_than_64_bits_are_exact() -> None:
    task = BinaryAddition(test_length=200, min_test_length=200, test_size=50)
    ((x, target),) = task.test_dataloader()[0]
    assert x.shape == (201, 50, 2)
    for row in range(50):
        assert as_integer(target[:, row]) == as_integer(x[:, row, 0]) + as_integer(x[:, row, 1])


@pytest.mark.parametrize("length", [3, 5, 8])
def test_every_sum_of_a_short_length_is_exact(length: int) -> None:
    pairs = all_pairs(length)
    for row, total in enumerate(add(pairs).T):
        assert as_integer(total) == as_integer(pairs[:, row, 0]) + as_integer(pairs[:, row, 1])


def test_lengths_and_bits_are_uniform() -> None:
    pairs = draw_pairs(6, 50_000, generator(0))
    first_lengths = torch.tensor([as_integer(row).bit_length() for row in pairs[:, :, 0].T])
    shares = torch.bincount(first_lengths, minlength=6)[1:] / 50_000
    assert (shares - 0.2).abs().max() < 0.01
    of_length_five = pairs[:4, first_lengths == 5, 0].float()
    assert (of_length_five.mean(1) - 0.5).abs().max() < 0.02


@pytest.mark.parametrize("length", [SMALLEST_DISJOINT_LENGTH, SMALLEST_DISJOINT_LENGTH + 2])
def test_every_pair_belongs_to_one_split_and_every_split_has_pairs(length: int) -> None:
    splits = split_of(all_pairs(length))
    shares = torch.bincount(splits, minlength=3) / len(splits)
    assert (shares - torch.tensor(list(SHARES.values()))).abs().max() < 0.05


def test_splits_of_long_pairs_have_the_given_shares() -> None:
    splits = split_of(draw_pairs(30, 100_000, generator(0)))
    shares = torch.bincount(splits, minlength=3) / 100_000
    assert (shares - torch.tensor(list(SHARES.values()))).abs().max() < 0.005


def test_a_pair_and_the_swapped_pair_are_in_the_same_split() -> None:
    pairs = draw_pairs(20, 1000, generator(0))
    assert torch.equal(split_of(pairs), split_of(pairs.flip(2)))


@pytest.mark.parametrize("split", list(SHARES))
def test_a_split_draws_only_its_own_pairs(split: str) -> None:
    pairs = draw_pairs_of_split(split, SMALLEST_DISJOINT_LENGTH, 3000, generator(0))
    assert pairs.shape[1] == 3000
    assert (split_of(pairs) == list(SHARES).index(split)).all()


def test_short_lengths_use_every_pair_in_every_split() -> None:
    for split in SHARES:
        pairs = draw_pairs_of_split(split, 3, 200, generator(0))
        assert len({tuple(pair.flatten().tolist()) for pair in pairs.unbind(1)}) == 4


@pytest.mark.parametrize("length", [SMALLEST_DISJOINT_LENGTH - 1, SMALLEST_DISJOINT_LENGTH])
def test_each_split_has_samples_of_its_own(length: int) -> None:
    sizes = {"train_size": 100, "val_size": 100, "test_size": 100}
    task = BinaryAddition(length=length, min_length=length, test_length=length, min_test_length=length, **sizes)
    train, val, test = (data[0] for data in (task.train_data(0), task.val_data(), task.test_data(f"length_{length}")))
    assert not torch.equal(train, val) and not torch.equal(val, test) and not torch.equal(test, train)


def test_every_epoch_has_new_samples() -> None:
    task = BinaryAddition(length=30, min_length=30, train_size=1000)
    first, second = ({tuple(x.T.flatten().tolist()) for x in task.train_data(e)[0].unbind(1)} for e in (0, 1))
    assert len(first & second) < 100


def test_loss_is_the_binary_cross_entropy_of_logits() -> None:
    logits, bits = torch.tensor([[[2.0]], [[-1.0]]]), torch.tensor([[[1.0]], [[1.0]]])
    expected = -(torch.sigmoid(logits).log()).mean()
    assert BinaryAddition().loss(logits, bits).item() == pytest.approx(expected.item())


def test_metrics_count_bits_and_whole_sequences_over_batches() -> None:
    metrics = BinaryAddition().metrics()
    bits = torch.tensor([[[1.0], [0.0]], [[0.0], [1.0]], [[1.0], [1.0]]])  # 3 steps, 2 sequences
    logits = (bits * 2 - 1) * 0.3
    metrics.update(logits, bits)
    wrong = logits.clone()
    wrong[1, 0] *= -1
    metrics.update(wrong, bits)
    values = metrics.compute()
    assert values["accuracy"].item() == pytest.approx(3 / 4)
    assert values["bit_accuracy"].item() == pytest.approx(11 / 12)


def test_logits_between_zero_and_one_are_not_taken_for_probabilities() -> None:
    metrics = BinaryAddition().metrics()
    metrics.update(torch.full((2, 1, 1), 0.2), torch.ones(2, 1, 1))
    assert metrics.compute()["accuracy"].item() == 1


def test_headline_is_the_longest_length_and_the_mean() -> None:
    task = BinaryAddition(min_test_length=3, test_length=5)
    results = {
        f"length_{length}": {"accuracy": share, "bit_accuracy": 1.0}
        for length, share in ((3, 1.0), (4, 0.75), (5, 0.5))
    }
    assert task.summarise(results) == {"test/accuracy_length_5": 0.5, "test/accuracy_mean": 0.75}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"min_length": 1}, "task.min_length must be at least 2, got 1"),
        ({"length": 2}, "task.length must be at least 3, got 2"),
        ({"length": -5}, "task.length must be at least 3, got -5"),
        ({"min_test_length": 0}, "task.min_test_length must be at least 2, got 0"),
        ({"test_length": 2}, "task.test_length must be at least 3, got 2"),
        ({"epochs_per_length": 0}, "task.epochs_per_length must be at least 1, got 0"),
    ],
)
def test_invalid_values_give_a_one_line_error(keys: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as error:
        BinaryAddition(**keys)
    assert str(error.value) == message
