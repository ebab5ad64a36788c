"""Training and test with steps that have no label: as if these steps were cut out of prediction and target."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn
from torchmetrics import MeanSquaredError, MetricCollection

from bionets.experiment.run.custom_metrics import SampleMean
from bionets.experiment.seeds.stacked_models import StackedModels, StackedTasks
from bionets.models import RecurrentModel
from bionets.tasks import CustomData, Task, TaskSpec
from tests.tasks.test_unlabelled import N, T, found_in, task_of, write


def model_of(task: Task, chunk: int | None = None) -> RecurrentModel:
    torch.manual_seed(0)
    model = RecurrentModel(task.spec, "bionets.layers.NBRC", 4, optimizer=lambda each: torch.optim.SGD(each, lr=1.0))
    model.tbptt = chunk
    return model


def naive_loss(model: RecurrentModel, task: CustomData, batch: tuple[Tensor, ...]) -> Tensor:
    """The mean loss over the labels of a batch, from the predictions for each of its sequences alone."""
    x, _, *lengths = batch
    known, losses, weights = found_in(batch), [], []
    for b in range(x.shape[1]):
        alone, state, chunks = x[: int(lengths[0][b]) if lengths else T, b : b + 1], None, []
        for start in range(0, len(alone), model.tbptt or T):
            prediction, state = model.chunk(alone[start : start + (model.tbptt or T)], state)
            chunks.append(prediction)
        for t, scores in enumerate(torch.cat(chunks)[:, 0]):
            if (label := known.get((int(alone[0, 0, 0]), t))) is not None:
                own = 1.0 if task.class_weights is None else float(task.class_weights[int(label)])
                each = (scores[0] - label) ** 2 if len(scores) == 1 else scores.logsumexp(0) - scores[int(label)]
                losses.append(own * each)
                weights.append(own)
    return torch.stack(losses).sum() / sum(weights)


def trainer(**options: Any) -> Trainer:
    silent: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    options |= {"max_epochs": 1, "accelerator": "cpu", "enable_model_summary": False}
    return Trainer(reload_dataloaders_every_n_epochs=1, **silent, **options)


TRAININGS = [
    (kind, weights, ragged, chunk)
    for kind, weights in (("class", None), ("class", [1, 2, 0.5]), ("number", None))
    for ragged, chunk in ((False, None), (False, 2), (True, None))
]


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize(("kind", "weights", "ragged", "chunk"), TRAININGS)
def test_a_step_over_accumulated_batches_follows_the_mean_loss_over_labels(
    kind: str, weights: list[float] | None, ragged: bool, chunk: int | None, batch_size: int, tmp_path: Path
) -> None:
    """With one sequence in a batch, some batches have no label at all."""
    path = write(tmp_path / "data", kind, ragged, math.nan)
    task = task_of(path, kind, ragged, math.nan, class_weights=weights, batch_size=batch_size)
    model = model_of(task, chunk)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    expected = torch.autograd.grad(naive_loss(model, task, task.train_data(0)), list(model.parameters()))
    trainer(accumulate_grad_batches=N, limit_val_batches=0).fit(model, datamodule=task)
    for old, parameter, gradient in zip(before, model.parameters(), expected, strict=True):
        torch.testing.assert_close(old - parameter.detach(), gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("kind", ["class", "number"])
def test_a_batch_without_any_label_gives_no_gradient(kind: str, chunk: int | None, tmp_path: Path) -> None:
    task = task_of(write(tmp_path / "data", kind, False, math.nan), kind, False, math.nan)
    x, y = task.train_data(0)
    none = next(b for b in range(x.shape[1]) if not int(x[0, b, 0]) % 5)
    batch = x[:, none : none + 1], y[:, none : none + 1]
    model = model_of(task, chunk)
    trainer(limit_train_batches=0, limit_val_batches=0).fit(model, datamodule=task)  # binds the task
    loss = model.training_step(batch, 0)
    loss.backward()
    assert loss.item() == 0
    assert all(each.grad is None or not each.grad.any() for each in model.parameters())


def square(prediction: Tensor, target: Tensor) -> Tensor:
    """A metric of one's own, which gets the steps with a label alone."""
    assert len(prediction) == len(target) and not target.isnan().any() and not (target == -100).any()
    return target.float().square().mean()


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("kind", ["class", "number"])
def test_test_results_do_not_depend_on_the_batch_size(kind: str, ragged: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "data", kind, ragged, math.nan)
    for batch_size in (1, 4):
        task = task_of(path, kind, ragged, math.nan, test_share=0.4, batch_size=batch_size)
        task.extra_metrics = {"square": lambda task=task: SampleMean(square, task.spec)}
        model = model_of(task)
        trainer().test(model, datamodule=task, verbose=False)
        batch, results = task.test_data("test"), model.test_results["test"]
        assert results["loss"] == pytest.approx(float(naive_loss(model, task, batch)), rel=1e-5)
        known = list(found_in(batch).values())
        assert results["square"] == pytest.approx(sum(label**2 for label in known) / len(known), rel=1e-5)


def test_batched_seeds_learn_the_weights_of_single_seeds(tmp_path: Path) -> None:
    path = write(tmp_path / "data", "class", False, -100)
    tasks = [task_of(path, "class", False, -100, batch_size=4, seed=seed) for seed in range(2)]
    stacked = StackedModels([model_of(task) for task in tasks], tasks)
    trainer().fit(stacked, datamodule=StackedTasks(tasks))
    for number, task in enumerate(tasks):
        model, alone = model_of(task), trainer()
        alone.fit(model, datamodule=task)
        for name, value in model.state_dict().items():
            torch.testing.assert_close(stacked.state_dict()[name][number], value, rtol=1e-4, atol=1e-5)
        for name in ("val/loss", "val/accuracy"):
            assert float(stacked.values[number][name]) == pytest.approx(float(alone.callback_metrics[name]), rel=1e-4)


class EverySecond(Task):
    """A task of one's own: the previous input, at every second step of some sequences."""

    spec = TaskSpec("sequence_to_sequence", 1, 1, unlabelled=True)

    def draw(self, split: str, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        x = torch.randn(T, size, 1, generator=generator)
        y = torch.cat([torch.full((1, size, 1), torch.nan), x[:-1]])
        y[::2], y[:, ::3] = torch.nan, torch.nan
        return x, y

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return nn.functional.mse_loss(prediction, target)

    def metrics(self) -> MetricCollection:
        return MetricCollection({"mse": MeanSquaredError()})


def test_a_user_task_may_have_unlabelled_steps() -> None:
    task = EverySecond(train_size=6, val_size=6, test_size=6, batch_size=1, epochs=1)
    assert set(task.train_batches(0).sizes) == {0, T // 2}
    model, fitting = model_of(task), trainer()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    fitting.fit(model, datamodule=task)
    assert all(each.isfinite().all() for each in model.parameters())
    assert any(not torch.equal(old, each) for old, each in zip(before, model.parameters(), strict=True))
    (x, y), found = task.val_data(), fitting.callback_metrics
    with torch.no_grad():
        errors = [float((each - label) ** 2) for each, label in zip(model(x).flatten(), y.flatten(), strict=True)]
    known = [each for each in errors if not math.isnan(each)]
    assert len(known) == 4 * (T // 2)
    assert float(found["val/loss"]) == float(found["val/mse"]) == pytest.approx(sum(known) / len(known), rel=1e-5)
