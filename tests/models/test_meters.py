"""The values of meters, and their names."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, MeanMetric, MeanSquaredError, MetricCollection, MinMaxMetric

from bionets.models import RecurrentModel
from bionets.models.meters import make_meters, measure, values_of
from bionets.tasks import CopyFirstInput, CustomData, Task, TaskSpec


def test_the_values_of_a_metric_keep_their_names_unless_two_metrics_share_them() -> None:
    metrics = {"loss": MeanMetric(), "one": MinMaxMetric(MeanMetric())}
    for more in ({}, {"two": MinMaxMetric(MeanMetric())}):
        meters = MetricCollection({**metrics, **more}, compute_groups=False)
        meters.update(torch.tensor([1.0, 3.0]))
        found = {name: float(value) for name, value in values_of(meters).items()}
        parts = [f"{name}_{part}" if more else part for name in ("one", *more) for part in ("raw", "min", "max")]
        assert found == dict.fromkeys(["loss", *parts], 2.0)


class Masked(Task):
    """The mean squared error over those steps whose target is not NaN, of which sequences have different numbers."""

    spec = TaskSpec("sequence_to_sequence", input_size=2, output_size=1)

    def draw(self, split: str, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.randn(6, size, 2, generator=generator)
        scored = torch.arange(6).unsqueeze(1) < torch.randint(1, 7, (size,), generator=generator)
        return x, torch.where(scored.unsqueeze(2), x.sum(2, keepdim=True), torch.nan)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        scored = ~target.isnan()
        return functional.mse_loss(prediction[scored], target[scored])

    def scored_steps(self, target: Tensor) -> float:
        return int((~target.isnan()).sum())

    def metrics(self) -> MetricCollection:
        return MetricCollection({})


def masked(batch_size: int, folder: Path) -> Task:
    return Masked(train_size=24, val_size=7, test_size=7, batch_size=batch_size, epochs=1)


def weighted(batch_size: int, folder: Path) -> Task:
    """Two classes that count differently."""
    random = torch.Generator().manual_seed(0)
    data = {"x": torch.randn(40, 5, 2, generator=random), "y": (torch.rand(40, generator=random) < 0.3).long()}
    torch.save(data, folder / "data.pt")
    return CustomData(
        str(folder / "data.pt"), class_weights=[1, 9], val_share=0.2, test_share=0.2, batch_size=batch_size
    )


def of_lengths(batch_size: int, folder: Path) -> Task:
    """Sequences that end at different steps, answered at every step."""
    random = torch.Generator().manual_seed(0)
    x, lengths = torch.randn(40, 6, 2, generator=random), torch.randint(1, 7, (40,), generator=random)
    torch.save({"x": x, "y": x.sum(2), "lengths": lengths}, folder / "data.pt")
    return CustomData(str(folder / "data.pt"), lengths="lengths", val_share=0.2, test_share=0.2, batch_size=batch_size)


class Numbers(Masked):
    """The task of `Masked` with the metrics of numbers."""

    def metrics(self) -> MetricCollection:
        return MetricCollection({"mse": MeanSquaredError(), "mae": MeanAbsoluteError()})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_metrics_of_half_precision_are_those_of_its_numbers(dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    prediction, target = (10 * torch.randn(500, 8, 1, generator=random).to(dtype) for _ in range(2))
    task = Numbers(train_size=8, val_size=8, test_size=8, batch_size=8, epochs=1)
    meters = make_meters(task)
    measure(meters, task, prediction, target)
    error = prediction.double() - target.double()
    found = values_of(meters)
    torch.testing.assert_close(found["mse"], error.square().mean().float())  # its sum is above the largest float16
    torch.testing.assert_close(found["mae"], error.abs().mean().float())


def test_batches_of_weight_zero_count_in_metrics(tmp_path: Path) -> None:
    """With a class of weight zero, the accuracy is still that of all samples."""
    weighted(2, tmp_path)
    for batch_size in (1, 8):
        file = str(tmp_path / "data.pt")
        task = CustomData(file, class_weights=[0, 1], val_share=0.2, test_share=0.2, batch_size=batch_size)
        torch.manual_seed(0)
        model = RecurrentModel(task.spec, "torch.nn.RNN", 3).eval()
        trainer = Trainer(logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu")
        trainer.test(model, datamodule=task, verbose=False)
        x, target = task.test_data("test")
        assert (target == 0).any()
        with torch.no_grad():
            prediction = model(x)
        found = model.test_results["test"]
        assert found["accuracy"] == pytest.approx(float((prediction.argmax(1) == target).float().mean()))
        assert found["loss"] == pytest.approx(float(task.loss(prediction, target)), rel=1e-5)


def losses(task: Task, loss_every_step: bool = False, **options: Any) -> tuple[float, list[Tensor]]:
    """The test loss of a model that has been trained for one epoch, and its parameters."""
    torch.manual_seed(0)
    optimizer = partial(torch.optim.SGD, lr=0.1)
    model = RecurrentModel(task.spec, "torch.nn.RNN", 3, loss_every_step=loss_every_step, optimizer=optimizer)
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = Trainer(
        max_epochs=1, reload_dataloaders_every_n_epochs=1, enable_model_summary=False, **silent, **options
    )
    trainer.fit(model, datamodule=task)
    trainer.test(model, datamodule=task, verbose=False)
    return model.test_results["test"]["loss"], list(model.parameters())


@pytest.mark.parametrize("make", [masked, weighted, of_lengths])
def test_the_batch_size_does_not_change_the_loss_or_the_trained_parameters(
    make: Callable[[int, Path], Task], tmp_path: Path
) -> None:
    """Neither the test loss nor an optimizer step with accumulated gradients depends on it."""
    loss, parameters = losses(make(24, tmp_path))
    for batch_size in (12, 6):
        found, learnt = losses(make(batch_size, tmp_path), accumulate_grad_batches=24 // batch_size)
        assert found == pytest.approx(loss, rel=1e-5)
        torch.testing.assert_close(learnt, parameters)


@pytest.mark.parametrize("weights", [None, [1, 9]])
def test_a_loss_at_every_step_is_the_mean_over_the_steps_of_all_batches(weights: Any, tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    x, lengths = torch.randn(40, 6, 2, generator=random), torch.randint(1, 7, (40,), generator=random)
    torch.save({"x": x, "y": torch.arange(40) % 2, "lengths": lengths}, tmp_path / "data.pt")
    keys: dict[str, Any] = {"lengths": "lengths", "val_share": 0.2, "test_share": 0.2, "class_weights": weights}
    _, parameters = losses(CustomData(str(tmp_path / "data.pt"), batch_size=24, **keys), loss_every_step=True)
    for batch_size in (12, 6):
        task = CustomData(str(tmp_path / "data.pt"), batch_size=batch_size, **keys)
        _, learnt = losses(task, loss_every_step=True, accumulate_grad_batches=24 // batch_size)
        torch.testing.assert_close(learnt, parameters)


@pytest.mark.filterwarnings("error")
def test_the_mean_loss_is_nan_if_a_loss_is() -> None:
    task = CopyFirstInput(length=3)
    meters = make_meters(task)
    for value in (1.0, torch.nan, 2.0):
        measure(meters, task, torch.full((4, 1), value), torch.zeros(4, 1))
    assert values_of(meters)["loss"].isnan()
