"""Copy-first-input keeps its protocol."""

import pytest
import torch

from bionets.tasks import CopyFirstInput, TaskSpec


def test_the_defaults_are_the_published_protocol() -> None:
    task = CopyFirstInput()
    assert task.spec == TaskSpec("sequence_to_value", input_size=1, output_size=1)
    assert (task.length, task.train_size, task.val_size, task.test_size) == (300, 45_000, 5_000, 5_000)
    assert (task.batch_size, task.epochs, task.stop_below) == (100, 60, 0.1)
    assert (task.monitor, task.mode) == ("val/loss", "min")
    assert task.train_batches_per_epoch == 450
    assert task.test_names == ["test"]
    x, target = next(iter(task.val_dataloader()))
    assert x.shape == (300, 100, 1)
    assert target.shape == (100, 1)


@pytest.mark.parametrize("length", [1, 7])
def test_target_is_the_first_input(length: int) -> None:
    for x, target in CopyFirstInput(length, train_size=60, batch_size=25).train_dataloader():
        assert len(x) == length and torch.equal(target, x[0])


def test_a_sequence_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"length must be at least 1, got 0"):
        CopyFirstInput(length=0)


def test_inputs_are_standard_normal_and_independent() -> None:
    x, _ = CopyFirstInput(length=4, train_size=100_000).train_data(0)
    steps = x.squeeze(2)
    assert steps.mean(1).abs().max() < 0.02
    assert (torch.cov(steps) - torch.eye(4)).abs().max() < 0.03


def test_training_set_is_fixed_and_shuffled_every_epoch() -> None:
    task = CopyFirstInput(length=3, train_size=40, batch_size=40)
    ((first, _),), ((second, _),) = task.train_batches(0), task.train_batches(1)
    assert not torch.equal(first, second)
    assert torch.equal(first[0].flatten().sort().values, second[0].flatten().sort().values)


def test_loss_and_metric_are_the_mean_squared_error() -> None:
    task = CopyFirstInput()
    prediction, target = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[1.0], [0.0], [1.0]])
    assert task.loss(prediction, target).item() == pytest.approx((0 + 4 + 9) / 3)
    assert task.metrics()(prediction, target) == {"mse": pytest.approx((0 + 4 + 9) / 3)}


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_stop_below_that_no_loss_can_reach_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"^task\.stop_below must be above 0"):
        CopyFirstInput(stop_below=value)


def test_stopping_early_can_be_turned_off() -> None:
    assert CopyFirstInput(stop_below=None).stop_below is None
