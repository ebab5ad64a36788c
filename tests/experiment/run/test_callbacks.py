"""Callbacks of the training loop."""

import gc
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bionets.experiment.run.callbacks import CHECK_EVERY, Record

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


def train(tmp_path: Path, *callbacks: Callback) -> Line:
    torch.manual_seed(0)
    x = torch.randn(STEPS, 1)
    model = Line()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=[Record(tmp_path / "metrics.csv", tmp_path / "last.ckpt"), *callbacks],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.fit(model, DataLoader(TensorDataset(x, 2 * x), batch_size=1))
    return model


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
