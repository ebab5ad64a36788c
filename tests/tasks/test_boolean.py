"""Boolean functions in spikes: the rates that encode the bits, the classes, and dependence on seed and epoch only."""

import math

import pytest
import torch

from bionets.tasks import Boolean

SIZES = {"train_size": 40, "val_size": 20, "test_size": 40, "batch_size": 40, "epochs": 1}


def make(**keys: object) -> Boolean:
    return Boolean(**{**SIZES, **keys})


@pytest.mark.parametrize(("function", "ones"), [("and", {3}), ("or", {1, 2, 3}), ("xor", {1, 2})])
def test_the_class_is_the_function_of_the_bits(function: str, ones: set[int]) -> None:
    task = make(function=function, noise=0.0)
    bits, label = task.draw("train", 40, torch.Generator())
    pair = (2 * bits[:, 0] + bits[:, 1]).long()
    assert pair.bincount().tolist() == [10] * 4
    assert label.tolist() == [int(int(value) in ones) for value in pair]


def test_a_bit_is_encoded_by_the_rates_of_two_populations() -> None:
    task = make(noise=0.0, steps=4000, population=3, low_rate=20.0, high_rate=200.0)
    x, _ = next(iter(task.val_dataloader()))
    bits, _ = task.val_data()
    assert x.shape == (4000, 20, 12) and set(x.unique().tolist()) == {0, 1}
    rates = 1000 * x.mean(0).view(20, 2, 2, 3)
    expected = torch.stack([bits, 1 - bits], 2) * 180 + 20
    expected = expected.unsqueeze(3).expand_as(rates)
    torch.testing.assert_close(rates, expected, atol=40.0, rtol=0.0)
    for rate in (20.0, 200.0):
        assert float(rates[expected == rate].mean()) == pytest.approx(rate, abs=4)


def test_noise_changes_the_bits_within_zero_and_one() -> None:
    bits, _ = make(noise=0.5).draw("train", 400, torch.Generator())
    assert bits.min() == 0 and bits.max() == 1 and len(bits.unique()) > 100


def test_spikes_are_a_function_of_seed_epoch_and_batch() -> None:
    def spikes(epoch: int, **keys: object) -> torch.Tensor:
        return torch.cat([x for x, _ in make(batch_size=10, **keys).train_batches(epoch)], 1)

    assert torch.equal(spikes(3), spikes(3))
    assert not torch.equal(spikes(3), spikes(4)) and not torch.equal(spikes(3), spikes(3, seed=1))
    first, second = list(make(batch_size=10).val_dataloader())
    assert torch.equal(first[0], next(iter(make(batch_size=10).val_dataloader()))[0])
    assert not torch.equal(first[0], second[0])


def test_each_batch_has_spikes_of_its_own() -> None:
    task = make(noise=0.0, val_size=16, batch_size=8)
    (first, label), (second, other) = task.val_dataloader()
    assert torch.equal(label, other)  # the bits are the same
    assert (first * second).sum() < 0.3 * first.sum()


def test_no_set_shares_the_spikes_of_another() -> None:
    """The bits are the same; spikes that were, too, would make the test set a copy of the validation set."""
    task = make(noise=0.0, val_size=40)
    (train, _), (val, _), (test, _) = (next(iter(task.batches_of(data))) for data in ("train", "val", "test"))
    assert all((one * other).sum() < 0.3 * one.sum() for one, other in ((train, val), (train, test), (val, test)))
    assert torch.equal(test, next(iter(task.test_dataloader()[0]))[0])


@pytest.mark.parametrize(
    "keys", [{"function": "nor"}, {"low_rate": 100.0}, {"noise": -1.0}, {"noise": math.nan}, {"population": 0}]
)
def test_invalid_options_are_refused_by_name(keys: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"task.{next(iter(keys))}"):
        make(**keys)
