"""Denoising keeps its protocol and its layout."""

import pytest
import torch

from bionets.tasks import Denoising, TaskSpec


def test_the_defaults_are_the_published_protocol() -> None:
    task = Denoising()
    assert task.spec == TaskSpec("sequence_to_sequence", input_size=2, output_size=1)
    assert (task.length, task.forgetting_period, task.marked) == (400, 200, 5)
    assert (task.train_size, task.val_size, task.test_size) == (45_000, 5_000, 5_000)
    assert (task.batch_size, task.epochs, task.stop_below) == (100, 60, None)
    assert (task.monitor, task.mode) == ("val/loss", "min")
    x, target = next(iter(task.val_dataloader()))
    assert x.shape == (405, 100, 2)
    assert target.shape == (5, 100, 1)


@pytest.mark.parametrize(("length", "forgetting_period", "marked"), [(20, 10, 5), (12, 0, 3), (9, 4, 5)])
def test_target_repeats_the_marked_values_in_order(length: int, forgetting_period: int, marked: int) -> None:
    x, target = Denoising(length, forgetting_period, marked, train_size=200).train_data(0)
    for row in range(200):
        values, markers = x[:, row, 0].tolist(), x[:, row, 1].tolist()
        stream = list(zip(values[:length], markers[:length], strict=True))
        assert [value for value, marker in stream if marker == 0] == target[:, row, 0].tolist()
        assert markers[:length].count(-1) == length - marked
        assert all(marker == -1 for _, marker in stream[length - forgetting_period :])
        assert list(zip(values[length:], markers[length:], strict=True)) == [(0, 1)] * marked


def test_marked_steps_are_uniform_before_the_forgetting_period() -> None:
    x, _ = Denoising(length=12, forgetting_period=2, marked=3, train_size=50_000).train_data(0)
    share = (x[:12, :, 1] == 0).float().mean(1)
    assert (share[:10] - 0.3).abs().max() < 0.01
    assert (share[10:] == 0).all()


def test_loss_and_metric_use_only_the_recall_steps() -> None:
    task = Denoising(length=6, forgetting_period=1, marked=2, train_size=30, batch_size=30)
    ((x, target),) = task.train_dataloader()
    prediction = torch.randn(8, 30, 1, generator=torch.Generator().manual_seed(0))
    expected = (
        sum((prediction[6 + k, row, 0] - target[k, row, 0]).item() ** 2 for k in (0, 1) for row in range(30)) / 60
    )
    assert task.loss(prediction, target).item() == pytest.approx(expected, rel=1e-5)
    assert task.metrics()(prediction, target)["mse"].item() == pytest.approx(expected, rel=1e-5)
    prediction[:6] = 1e6
    assert task.loss(prediction, target).item() == pytest.approx(expected, rel=1e-5)
    prediction[6:] = target
    assert task.loss(prediction, target).item() == 0
    assert x.shape[0] == len(prediction)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"marked": 0}, "task.marked must be at least 1, got 0"),
        ({"forgetting_period": -1}, "task.forgetting_period must be at least 0, got -1"),
        ({"length": 204}, "task.length must be at least task.forgetting_period + task.marked = 205, got 204"),
    ],
)
def test_invalid_values_give_a_one_line_error(keys: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as error:
        Denoising(**keys)
    assert str(error.value) == message
