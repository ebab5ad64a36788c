"""Callbacks of the training loop."""

import gc
import math
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bionets.experiment.run.callbacks import CHECK_EVERY, Record, SeedEachEpoch, StopAfter, StopBelow
from bionets.experiment.run.metrics_file import read_metrics

STEPS = 2 * CHECK_EVERY + 10


class Line(LightningModule):
    """A line fitted to numbers; its losses, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.losses: list[float] = []

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        loss = nn.functional.mse_loss(self.line(batch[0]), batch[1])
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class CountTensors(Callback):
    def __init__(self) -> None:
        self.counts: list[int] = []

    def on_train_batch_start(self, trainer: Trainer, model: LightningModule, batch: Any, batch_index: int) -> None:
        if batch_index % 20 == 0:
            self.counts.append(sum(type(each) is Tensor for each in gc.get_objects()))


def train(
    tmp_path: Path,
    *callbacks: Callback,
    log_every_n_steps: int = 1,
    accumulate_grad_batches: int = 1,
    kind: type[Line] = Line,
) -> Line:
    torch.manual_seed(0)
    x = torch.randn(STEPS, 1)
    model = kind()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[Record(tmp_path / "metrics.csv", tmp_path / "last.ckpt"), *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=log_every_n_steps,
        accumulate_grad_batches=accumulate_grad_batches,
    )
    data = DataLoader(TensorDataset(x, 2 * x), batch_size=1)
    trainer.fit(model, data, None if kind is Line else data)
    return model


class Validated(Line):
    def validation_step(self, batch: list[Tensor], batch_index: int) -> None:
        self.log("val/weight", self.line.weight.sum())


def test_a_validation_is_recorded_at_the_step_before_it(tmp_path: Path) -> None:
    model = train(tmp_path, kind=Validated)
    steps, values = read_metrics(tmp_path / "metrics.csv")["val/weight"]
    assert steps == [STEPS - 1, 2 * STEPS - 1]
    assert values[-1] == pytest.approx(model.line.weight.item())


def test_no_tensor_is_kept_from_each_training_step(tmp_path: Path) -> None:
    count = CountTensors()
    train(tmp_path, count)
    in_first_epoch = count.counts[1 : len(count.counts) // 2]
    assert max(in_first_epoch) - min(in_first_epoch) < 10


def test_the_loss_of_every_step_is_written_in_order(tmp_path: Path) -> None:
    model = train(tmp_path)
    lines = (tmp_path / "metrics.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in lines]
    assert [int(row[0]) for row in rows] == list(range(2 * STEPS))
    assert [float(row[3]) for row in rows] == model.losses


def test_the_loss_of_every_third_step_is_the_mean_over_its_batches(tmp_path: Path) -> None:
    model = train(tmp_path, log_every_n_steps=3, accumulate_grad_batches=4)
    epochs = model.losses[:STEPS], model.losses[STEPS:]
    means = [fmean(losses[first : first + 4]) for losses in epochs for first in range(0, STEPS, 4)]
    steps, values = read_metrics(tmp_path / "metrics.csv")["train/loss"]
    assert STEPS % 4 == 2 and steps == list(range(0, len(means), 3))  # one of them is the last of an epoch
    assert values == pytest.approx([means[step] for step in steps], rel=1e-5)


def epochs_until_stop(callback: Callback, values: list[float]) -> int | None:
    """The number of epochs, each with a validation that measures the next value, after which a callback ends training;
    None if it does not."""
    trainer: Any = SimpleNamespace(should_stop=False, callback_metrics={})
    for epoch, value in enumerate(values, 1):
        trainer.callback_metrics["val/score"] = torch.tensor(value)
        callback.on_validation_end(trainer, None)  # type: ignore[arg-type]
        callback.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
        if trainer.should_stop:
            return epoch
    return None


@pytest.mark.parametrize(
    ("mode", "values", "epochs"),
    [
        ("min", [0.5, 0.4, 0.4, 0.4, 0.1], 4),  # an equal value is not better
        ("min", [0.5, 0.6, 0.4, 0.6, 0.3], None),
        ("max", [0.5, 0.6, 0.6, 0.55, 0.9], 4),
        ("min", [math.nan, math.nan, 0.1], 2),
    ],
)
def test_training_ends_after_as_many_validations_without_a_better_value_as_its_patience(
    mode: str, values: list[float], epochs: int | None
) -> None:
    assert epochs_until_stop(StopAfter("val/score", mode, 2), values) == epochs


@pytest.mark.parametrize(
    ("mode", "values", "epochs"),
    [("min", [0.5, 0.25, 0.2], 3), ("max", [0.1, 0.25, 0.3], 3), ("min", [0.5, math.nan, 0.25], None)],
)
def test_training_ends_once_the_value_is_better_than_the_threshold(
    mode: str, values: list[float], epochs: int | None
) -> None:
    assert epochs_until_stop(StopBelow("val/score", mode, 0.25), values) == epochs


@pytest.mark.parametrize(
    ("callback", "values"),
    [(StopBelow("val/score", "min", 0.25), [0.2, 0.5]), (StopAfter("val/score", "min", 1), [0.5, 0.6, 0.1])],
)
def test_a_stop_that_min_epochs_delays_is_not_forgotten(callback: Callback, values: list[float]) -> None:
    trainer: Any = SimpleNamespace(callback_metrics={})
    for value in values:
        trainer.should_stop = False  # as Lightning sets it before the epochs of trainer.min_epochs are over
        trainer.callback_metrics["val/score"] = torch.tensor(value)
        callback.on_validation_end(trainer, None)  # type: ignore[arg-type]
        callback.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert trainer.should_stop


def test_every_test_of_a_seed_draws_the_same_random_numbers() -> None:
    trainer: Any = SimpleNamespace(global_rank=0)
    drawn = []
    for seed in (3, 3, 4):
        SeedEachEpoch(seed).on_test_start(trainer, None)  # type: ignore[arg-type]
        drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[1] != drawn[2]


def test_epochs_seeds_and_processes_have_random_numbers_of_their_own() -> None:
    found = set()
    for seed, epoch, rank in ((0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1), (1, 0, 1)):
        trainer: Any = SimpleNamespace(current_epoch=epoch, global_rank=rank)
        drawn = []
        for _ in range(2):
            SeedEachEpoch(seed).on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
            drawn.append(float(torch.rand(())))
        assert drawn[0] == drawn[1]
        found.add(drawn[0])
    assert len(found) == 5
