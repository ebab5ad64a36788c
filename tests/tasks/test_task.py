"""Properties of every task: the interface, dependence on seed and epoch only, disjoint splits, resumed training."""

import inspect
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torchmetrics import MeanSquaredError, MetricCollection

from bionets.tasks import BinaryAddition, CopyFirstInput, Denoising, Task, TaskSpec

SMALL: dict[str, Callable[..., Task]] = {
    "copy_first_input": lambda **keys: CopyFirstInput(
        **{"length": 8, "train_size": 50, "val_size": 20, "test_size": 20, "batch_size": 20, "epochs": 4} | keys
    ),
    "binary_addition": lambda **keys: BinaryAddition(
        **{
            "length": 14,
            "min_length": 12,
            "test_length": 15,
            "min_test_length": 13,
            "epochs_per_length": 2,
            "train_size": 50,
            "val_size": 20,
            "test_size": 20,
            "batch_size": 20,
        }
        | keys
    ),
    "denoising": lambda **keys: Denoising(
        **{
            "length": 12,
            "forgetting_period": 4,
            "train_size": 50,
            "val_size": 20,
            "test_size": 20,
            "batch_size": 20,
            "epochs": 4,
        }
        | keys
    ),
}
each_task = pytest.mark.parametrize("make", SMALL.values(), ids=SMALL.keys())


class Linear(LightningModule):
    """The least that a trainer needs: a linear readout of every step, or of the last."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.kind = task.spec.kind
        self.loss = task.loss
        self.readout = torch.nn.Linear(task.spec.input_size, task.spec.output_size)
        torch.nn.init.constant_(self.readout.weight, 0.1)
        torch.nn.init.zeros_(self.readout.bias)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        prediction: Tensor = self.readout(x)
        return prediction if self.kind == "sequence_to_sequence" else prediction[-1]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self.seen.append(batch[0].clone())
        return self.loss(self(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        loss = self.loss(self(batch[0]), batch[1])
        self.log("val/loss", loss, batch_size=batch[0].shape[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def trainer(folder: Path, epochs: int) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        reload_dataloaders_every_n_epochs=1,
        callbacks=[ModelCheckpoint(folder, filename="last")],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def rows(batches: Iterable[tuple[Tensor, ...]]) -> list[Tensor]:
    """Each sequence of x, as one flat tensor."""
    return [row.flatten() for x, _ in batches for row in x.unbind(1)]


def same(first: Iterable[tuple[Tensor, ...]], second: Iterable[tuple[Tensor, ...]]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a, b) for one, two in pairs for a, b in zip(one, two, strict=True))


@each_task
def test_a_task_can_be_printed(make: Callable[..., Task]) -> None:
    task = make()
    assert str(task) == f"{type(task).__name__}(train_size=50, val_size=20, test_size=20, batch_size=20, seed=0)"


@each_task
def test_batches_fit_the_spec_loss_and_metrics(make: Callable[..., Task]) -> None:
    task = make()
    model = Linear(task)
    assert len(task.train_dataloader()) == task.train_batches_per_epoch == 3
    assert len(task.test_dataloader()) == len(task.test_names)
    metrics = task.metrics()
    for loader in [task.train_dataloader(), task.val_dataloader(), *task.test_dataloader()]:
        for x, target in loader:
            assert x.dtype == target.dtype == torch.float32
            assert x.shape[1:] in {(20, task.spec.input_size), (10, task.spec.input_size)}
            prediction = model(x)
            assert task.loss(prediction, target).shape == ()
            metrics.update(prediction, target)
    assert all(math.isfinite(value) for value in metrics.compute().values())


@each_task
def test_loss_has_a_gradient_at_every_step_that_it_scores(make: Callable[..., Task]) -> None:
    task = make()
    x, target = next(iter(task.train_dataloader()))
    prediction = Linear(task)(x).detach().requires_grad_()
    task.loss(prediction, target).backward()
    assert prediction.grad is not None
    scored = prediction.grad if prediction.dim() == 2 else prediction.grad[-len(target) :]
    assert (scored != 0).all()


@each_task
def test_sets_have_the_given_sizes(make: Callable[..., Task]) -> None:
    task = make(train_size=47, val_size=13, test_size=17)
    assert len(rows(task.train_dataloader())) == 47
    assert len(rows(task.val_dataloader())) == 13
    assert [len(rows(loader)) for loader in task.test_dataloader()] == [17] * len(task.test_names)


@each_task
def test_an_epoch_does_not_depend_on_earlier_draws(make: Callable[..., Task]) -> None:
    fresh, used = make(), make()
    for epoch in range(7):
        list(used.train_batches(epoch))
    list(used.val_dataloader())
    torch.manual_seed(1)
    torch.rand(10)
    assert same(fresh.train_batches(7), used.train_batches(7))
    assert same(fresh.val_dataloader(), used.val_dataloader())
    for ours, theirs in zip(fresh.test_dataloader(), used.test_dataloader(), strict=True):
        assert same(ours, theirs)


@each_task
def test_drawing_does_not_change_the_global_generator(make: Callable[..., Task]) -> None:
    before = torch.get_rng_state()
    task = make()
    list(task.train_dataloader())
    task.test_dataloader()
    assert torch.equal(before, torch.get_rng_state())


@each_task
def test_epochs_and_seeds_differ(make: Callable[..., Task]) -> None:
    task = make()
    assert not same(task.train_batches(4), task.train_batches(5))
    assert not same(task.train_batches(0), make(seed=1).train_batches(0))
    assert not same(task.val_dataloader(), make(seed=1).val_dataloader())
    assert not same(task.test_dataloader()[0], make(seed=1).test_dataloader()[0])


@each_task
def test_splits_never_overlap(make: Callable[..., Task]) -> None:
    task = make(train_size=2000, val_size=500, test_size=500)
    train = {tuple(row.tolist()) for epoch in range(8) for row in rows(task.train_batches(epoch))}
    val = {tuple(row.tolist()) for row in rows(task.val_dataloader())}
    test = {tuple(row.tolist()) for loader in task.test_dataloader() for row in rows(loader)}
    assert train.isdisjoint(val)
    assert train.isdisjoint(test)
    assert val.isdisjoint(test)


@each_task
def test_a_resumed_run_equals_an_uninterrupted_one(make: Callable[..., Task], tmp_path: Path) -> None:
    whole = Linear(make())
    trainer(tmp_path / "whole", 4).fit(whole, datamodule=make())

    begun, resumed = Linear(make()), Linear(make())
    trainer(tmp_path / "part", 2).fit(begun, datamodule=make())
    trainer(tmp_path / "part", 4).fit(resumed, datamodule=make(), ckpt_path=tmp_path / "part" / "last.ckpt")

    seen = [*begun.seen, *resumed.seen]
    assert len(seen) == len(whole.seen) == 4 * 3
    assert all(torch.equal(a, b) for a, b in zip(whole.seen, seen, strict=True))
    assert torch.equal(whole.readout.weight, resumed.readout.weight)
    assert torch.equal(whole.readout.bias, resumed.readout.bias)


@each_task
def test_a_trainer_receives_the_batches_of_each_epoch(make: Callable[..., Task], tmp_path: Path) -> None:
    task = make()
    model = Linear(task)
    trainer(tmp_path, 3).fit(model, datamodule=task)
    expected = [x for epoch in range(3) for x, _ in make().train_batches(epoch)]
    assert all(torch.equal(a, b) for a, b in zip(model.seen, expected, strict=True))


@each_task
def test_a_trainer_that_would_repeat_the_first_epoch_is_refused(make: Callable[..., Task], tmp_path: Path) -> None:
    task = make()
    careless = trainer(tmp_path, 1)
    careless.reload_dataloaders_every_n_epochs = 0  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="reload_dataloaders_every_n_epochs=1"):
        careless.fit(Linear(task), datamodule=task)


class OneOfTwo:
    """What a task asks of a trainer, as process 0 or 1 of two."""

    reload_dataloaders_every_n_epochs = 1
    overfit_batches = 0.0
    current_epoch = 3
    world_size = 2

    def __init__(self, rank: int) -> None:
        self.global_rank = rank


@each_task
def test_two_processes_share_every_batch(make: Callable[..., Task]) -> None:
    tasks = [make(), make()]
    for rank, task in enumerate(tasks):
        task.trainer = OneOfTwo(rank)  # type: ignore[assignment]
    shares = zip(tasks[0].train_dataloader(), tasks[1].train_dataloader(), strict=True)
    whole = [torch.cat([ours[0], theirs[0]], dim=1) for ours, theirs in shares]
    assert all(torch.equal(a, b) for a, (b, _) in zip(whole, make().train_batches(3), strict=True))
    assert tasks[0].train_batches_per_epoch == 3


@each_task
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("length", -5, "task.length must be at least"),
        ("length", 0, "task.length must be at least"),
        ("train_size", 0, "task.train_size must be at least 1, got 0"),
        ("val_size", -1, "task.val_size must be at least 1, got -1"),
        ("test_size", 0, "task.test_size must be at least 1, got 0"),
        ("batch_size", 0, "task.batch_size must be at least 1, got 0"),
        ("batch_size", 2.5, "task.batch_size must be a whole number, got 2.5"),
        ("seed", -1, "task.seed must be at least 0, got -1"),
    ],
)
def test_invalid_values_give_a_one_line_error(make: Callable[..., Task], key: str, value: int, message: str) -> None:
    with pytest.raises(ValueError) as error:
        make(**{key: value})
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [CopyFirstInput, BinaryAddition, Denoising])
def test_default_data_are_drawn_without_a_loop_over_samples(kind: type[Task]) -> None:
    task, calls = kind(), 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        list(task.train_dataloader())
        task.test_dataloader()
    finally:
        sys.setprofile(None)
    assert calls < task.train_size  # fewer calls of Python functions than samples


@pytest.mark.parametrize("kind", [CopyFirstInput, BinaryAddition, Denoising])
def test_every_argument_has_a_default(kind: type[Task]) -> None:
    parameters = inspect.signature(kind).parameters.values()
    assert all(parameter.default is not parameter.empty for parameter in parameters)


class SumOfInputs(Task):
    """A researcher's own task, as the docstring of `Task` shows it."""

    spec = TaskSpec("sequence_to_value", input_size=1, output_size=1)

    def draw(self, split: str, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.randn(5, size, 1, generator=generator)
        return x, x.sum(0)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        return torch.nn.functional.mse_loss(prediction, target)

    def metrics(self) -> MetricCollection:
        return MetricCollection({"mse": MeanSquaredError()})


def test_a_user_task_needs_only_draw_loss_and_metrics(tmp_path: Path) -> None:
    task = SumOfInputs(train_size=30, val_size=10, test_size=10, batch_size=10, epochs=2)
    model = Linear(task)
    trainer(tmp_path, task.epochs).fit(model, datamodule=task)
    assert len(model.seen) == 6
    assert task.test_names == ["test"]
    assert (task.monitor, task.mode, task.stop_below) == ("val/loss", "min", None)
    assert task.summarise({"test": {"mse": 0.5}}) == {"test/mse": 0.5}


@each_task
def test_data_of_an_unknown_test_set_are_refused(make: Callable[..., Task]) -> None:
    task = make()
    with pytest.raises(ValueError, match=f"there is no test set tets: choose {task.test_names[0]}"):
        task.test_data("tets")


@pytest.mark.parametrize("method", ["draw", "loss", "metrics"])
def test_a_missing_method_of_a_task_is_named(method: str) -> None:
    class Unfinished(Task):
        spec = SumOfInputs.spec

    task = Unfinished(train_size=1, val_size=1, test_size=1, batch_size=1, epochs=1)
    arguments = {"draw": ("train", 1, torch.Generator()), "loss": (torch.zeros(1), torch.zeros(1)), "metrics": ()}
    with pytest.raises(NotImplementedError, match=f"Unfinished must implement {method}"):
        getattr(task, method)(*arguments[method])


def test_batches_of_gives_the_batches_of_a_set_by_its_name() -> None:
    task = BinaryAddition(length=4, test_length=5, epochs_per_length=1, train_size=20, val_size=10, test_size=10)
    for data, expected in (
        ("train", task.train_batches(0)),
        ("val", task.val_dataloader()),
        ("test", task.test_dataloader()[-1]),
        (task.test_names[0], task.test_dataloader()[0]),
    ):
        for batch, same in zip(task.batches_of(data), expected, strict=True):
            assert all(torch.equal(one, other) for one, other in zip(batch, same, strict=True))
    with pytest.raises(ValueError, match="data=nothing is unknown: choose train, val, test, length_"):
        task.batches_of("nothing")


def test_the_answers_of_a_target_are_its_samples_or_the_scored_steps_of_all_samples() -> None:
    for spec in (TaskSpec("sequence_to_value", 1, 2), TaskSpec("image_to_value", 4, 2, image_shape=(1, 2, 2))):
        assert spec.answers_in(torch.zeros(5, 2)) == 5
    assert TaskSpec("sequence_to_class", 1, 3, steps=4).answers_in(torch.zeros(5)) == 5
    assert TaskSpec("sequence_to_sequence", 1, 2).answers_in(torch.zeros(4, 5, 2)) == 20
    assert TaskSpec("sequence_to_sequence", 1, 3, classes=True).answers_in(torch.zeros(4, 5)) == 20
    ragged, numbers = TaskSpec("sequence_to_sequence", 1, 2, lengths=True), torch.zeros(4, 3, 2)
    _, scored = ragged.only_scored(numbers, numbers, torch.tensor([4, 2, 3]))
    assert ragged.answers_in(scored) == 9


@pytest.mark.parametrize("name", list(SMALL))
def test_data_do_not_depend_on_the_default_dtype(name: str) -> None:
    """`bionets.load` after `torch.set_default_dtype(torch.float64)` keeps the weights of a run in 64-true."""
    expected = [list(SMALL[name]().batches_of(data)) for data in ("train", "val", "test")]
    torch.set_default_dtype(torch.float64)
    try:
        found = [list(SMALL[name]().batches_of(data)) for data in ("train", "val", "test")]
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, check_dtype=False)
