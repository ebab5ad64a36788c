"""Averaged weights are validated and saved, and do not change training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bionets.experiment.errors import UserError
from bionets.experiment.run.averaging import AVERAGE, AverageWeights

DECAY, BATCHES = 0.8, 5


class Net(LightningModule):
    """A line with a normalisation, whose buffers are averaged too; it notes what is validated."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        self.validated: list[dict[str, Tensor]] = []

    def training_step(self, batch: list[Tensor], number: int) -> Tensor:
        return self.net(batch[0]).square().sum() + self.net[0].weight.sum()

    def validation_step(self, batch: list[Tensor], number: int) -> None:
        self.validated.append(copy(self))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1)


class Note(Callback):
    """The weights after every step."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: Trainer, model: LightningModule, *_: Any) -> None:
        self.weights.append(copy(model))


def copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items() if value.is_floating_point()}


def train(epochs: int, *callbacks: Callback, ckpt_path: Path | None = None, **options: Any) -> tuple[Net, Trainer]:
    generator = torch.Generator().manual_seed(1)
    data = DataLoader(TensorDataset(torch.randn(4 * BATCHES, 3, generator=generator)), batch_size=4)
    for name in ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"):
        options[name] = False
    trainer = Trainer(
        max_epochs=epochs, callbacks=list(callbacks), accelerator="cpu", num_sanity_val_steps=0, **options
    )
    model = Net()
    trainer.fit(model, data, data, ckpt_path=ckpt_path)
    return model, trainer


def average(weights: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The definition, in float64."""
    shares = [DECAY ** (len(weights) - 1 - k) for k in range(len(weights))]
    return {
        name: sum(share * each[name].double() for share, each in zip(shares, weights, strict=True)) / sum(shares)
        for name in weights[0]
    }


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    torch.testing.assert_close({name: value.double() for name, value in found.items()}, expected)


def test_the_average_is_validated_and_kept_without_a_change_of_training() -> None:
    noted, noted_without = Note(), Note()
    model, trainer = train(3, AverageWeights(DECAY), noted)
    train(3, noted_without)
    assert len(noted.weights) == 3 * BATCHES
    torch.testing.assert_close(noted.weights, noted_without.weights, rtol=0, atol=0)
    for epoch in range(3):
        assert_close(model.validated[epoch * BATCHES], average(noted.weights[: (epoch + 1) * BATCHES]))
    assert_close(copy(model), average(noted.weights))
    trainer.validate(model, trainer.train_dataloader, verbose=False)
    assert_close(model.validated[-1], average(noted.weights))


def test_accumulated_gradients_count_as_one_step() -> None:
    noted = Note()
    model, _ = train(2, AverageWeights(DECAY), noted, accumulate_grad_batches=BATCHES)
    assert_close(copy(model), average([noted.weights[BATCHES - 1], noted.weights[-1]]))


class Save(Callback):
    """A checkpoint of every epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: Trainer, model: LightningModule) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.current_epoch}.ckpt")


def test_a_resumed_run_continues_from_the_weights_of_training(tmp_path: Path) -> None:
    noted, again = Note(), Note()
    whole, _ = train(4, AverageWeights(DECAY), noted, Save(tmp_path))
    resumed, _ = train(4, AverageWeights(DECAY), again, ckpt_path=tmp_path / "1.ckpt")
    torch.testing.assert_close(again.weights, noted.weights[2 * BATCHES :], rtol=0, atol=0)
    torch.testing.assert_close(copy(resumed), copy(whole), rtol=0, atol=0)
    saved = torch.load(tmp_path / "1.ckpt", weights_only=True)["state_dict"]
    assert_close({name: saved[name] for name in noted.weights[0]}, average(noted.weights[: 2 * BATCHES]))


@pytest.mark.parametrize("options", [{"accumulate_grad_batches": BATCHES}, {"precision": "bf16-true"}])
def test_a_resumed_average_has_all_its_digits_and_counts_no_step_twice(tmp_path: Path, options: dict[str, Any]) -> None:
    """The average of bfloat16 weights is a float32, of which the weights of a checkpoint hold the first digits."""
    train(3, AverageWeights(DECAY), Save(tmp_path / "whole"), **options)
    ckpt_path = tmp_path / "whole" / "1.ckpt"
    train(3, AverageWeights(DECAY), Save(tmp_path / "resumed"), ckpt_path=ckpt_path, **options)
    whole, resumed = (torch.load(tmp_path / name / "2.ckpt", weights_only=True) for name in ("whole", "resumed"))
    assert (AVERAGE in whole) == ("precision" in options)
    for key in (AVERAGE, "state_dict"):
        torch.testing.assert_close(resumed.get(key), whole.get(key), rtol=0, atol=0)


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 1.5])
def test_a_decay_that_is_not_between_0_and_1_is_refused(decay: float) -> None:
    with pytest.raises(UserError, match=f"average_weights must be above 0 and below 1, got {decay}"):
        AverageWeights(decay)
