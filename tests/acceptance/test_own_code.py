"""Errors in a user's own code, and arguments of the wrong type: a one-line error that names the place."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import SMALL, Command, the_run

CODE = """
from typing import Literal

import torch
from lightning import Callback
from torchmetrics import MeanSquaredError, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from bionets.experiment.logging.mirrors import Mirror
from bionets.experiment.run.callbacks import Figures
from bionets.layers import NBRC
from bionets.tasks import Task, TaskSpec


class Sums(Task):
    spec = TaskSpec("sequence_to_value", input_size=1, output_size=1)

    def __init__(self, steps: int = 5, kind: Literal["a", "b"] = "a", shares: list[float] | None = None, **options):
        super().__init__(train_size=20, val_size=10, test_size=10, **options)
        self.steps, self.kind = steps, kind

    def draw(self, split, size, generator):
        x = torch.randn(self.steps, size, 1, generator=generator)
        return x, x.sum(0)

    def loss(self, prediction, target):
        return torch.nn.functional.mse_loss(prediction, target)

    def metrics(self):
        return MetricCollection({"mse": MeanSquaredError()})


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, batches):
        self.batches = list(batches)

    def __iter__(self):
        return iter(self.batches)


def stream(batches):
    return torch.utils.data.DataLoader(Stream(batches), batch_size=None)


class StreamedTest(Sums):
    def test_dataloader(self):
        return stream(super().test_dataloader()[0])


class StreamedVal(Sums):
    def val_dataloader(self):
        return stream(super().val_dataloader())


class StreamedTrain(Sums):
    def train_dataloader(self):
        return stream(self.train_batches(0))


class ListedVal(Sums):
    def val_dataloader(self):
        return [super().val_dataloader()]


class Named(Sums):
    class_names = ["cat", "dog"]  # a name that is the user's to take


class WrongLoss(Sums):
    def loss(self, prediction, target):
        return prediction @ target


class WrongDraw(Sums):
    def draw(self, split, size, generator):
        return {}["missing"]


class WrongConstructor(Sums):
    def __init__(self, steps=5):
        super().__init__(steps=steps + "5")


class WrongMetrics(Sums):
    def metrics(self):
        return MetricCollection({"accuracy": MulticlassAccuracy(3)})


class Vector(Sums):
    def metrics(self):
        return MetricCollection({"each": MeanSquaredError(num_outputs=2)})

    def draw(self, split, size, generator):
        return super().draw(split, size, generator)[0], torch.zeros(size, 2)

    spec = TaskSpec("sequence_to_value", input_size=1, output_size=2)


def metric(prediction, target):
    return prediction.nothing


class Hook(Callback):
    def __init__(self, every: int = 1):
        self.every = every

    def on_train_epoch_end(self, trainer, model):
        raise RuntimeError("this hook fails")


class Figure(Figures):
    def draw(self, directory, title, model, x):
        return x[1_000]


class Layer(NBRC):
    def forward(self, x, h=None):
        return super().forward(x + self.missing, h)


class NotANumber(Layer):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.register_buffer("target_rate", torch.tensor(float("nan")))


class Optimizer(torch.optim.SGD):
    def __init__(self, params, lr: float = 0.1, patience: int = 3, weight_decay: float = 0.0):
        super().__init__(params, lr=lr)


class Logger(Mirror):
    def __init__(self, run, project: str = "demo", every: int = 1):
        raise LookupError("no such server")
"""
TASK = (*SMALL[:2], "model.hidden_size=4", "callbacks=quiet", "logger=none", "task=custom", "trainer.max_epochs=1")
OWN_LOGGER = ("logger=csv", "+logger.own._target_=mistakes.Logger")


@pytest.fixture
def refused(cli: Command, workplace: Path) -> Command:
    """The one line of a command that ends with an error."""
    (workplace / "mistakes.py").write_text(CODE)
    (workplace / "mine" / "optimizer").mkdir(parents=True)
    optimizer = "_target_: mistakes.Optimizer\n_partial_: true\nlr: 0.1\nweight_decay: 0.0\npatience: long\n"
    (workplace / "mine" / "optimizer" / "mine.yaml").write_text(optimizer)

    def run(*words: str) -> str:
        outcome = cli("train", *words)
        assert outcome.code == 1 and outcome.error.count("\n") == 1, outcome.error
        return outcome.error

    return run


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("steps: five", "mistakes.Sums: steps must be int, got 'five'"),
        ("steps: 2.5", "mistakes.Sums: steps must be int, got 2.5"),
        ("steps: true", "mistakes.Sums: steps must be int, got True"),
        ("steps: null", "mistakes.Sums: steps must be int, got None"),
        ("kind: c", "mistakes.Sums: kind must be Literal['a', 'b'], got 'c'"),
        ("shares: [1, two]", "mistakes.Sums: shares must be list[float] | None, got [1, 'two']"),
        ("seed: one", "mistakes.Sums: seed must be int, got 'one'"),
    ],
)
def test_a_task_argument_of_the_wrong_type_is_refused(refused: Command, argument: str, message: str) -> None:
    error = refused(*TASK, "task.data=mistakes.Sums", f"task.arguments={{{argument}}}")
    assert error.startswith(f"error: task.arguments.{argument.partition(':')[0]}") and error.endswith(f": {message}\n")


def test_task_arguments_of_the_annotated_types_are_accepted(cli: Command, workplace: Path) -> None:
    (workplace / "mistakes.py").write_text(CODE)
    arguments = "task.arguments={steps: 4, kind: b, shares: [1, 0.5]}"
    outcome = cli("train", *TASK, "task.data=mistakes.Sums", arguments)
    assert outcome.code == 0, outcome.error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("+callbacks.extra.own={_target_: mistakes.Hook, every: often}",), "every must be int, got 'often'"),
        (("optimizer=mine", "--config-dir=mine"), "patience must be int, got 'long'"),
        ((*OWN_LOGGER, "+logger.own.every=often"), "every must be int, got 'often'"),
        ((*OWN_LOGGER, "+logger.own.projct=x"), "takes project, every: got an unexpected keyword argument 'projct'"),
        (("logger=tensorboard", "logger.tensorboard.flush_secs=long"), "flush_secs must be int, got 'long'"),
        (("model=recurrent", "model.layer=mistakes.Layer", "+model.layer_arguments={bias: 3}"), "bias"),
        (
            ("model=spiking_recurrent", "model.layer_arguments={beta: five}"),
            "model.layer_arguments.beta must be float | ",
        ),
        (("model=recurrent", "model.layer=mistakes.NotANumber"), "recurrent.target_rate of the model is NaN before"),
        (("model=lmu", "model.layer_arguments={theta: five}"), "LMU: theta must be a number, got 'five'"),
    ],
)
def test_a_wrong_argument_or_value_of_other_user_code_is_refused(
    refused: Command, words: tuple[str, ...], message: str
) -> None:
    assert message in refused(*SMALL, "model.name=own", *words)


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("task.data=mistakes.WrongLoss",), "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (("task.data=mistakes.WrongLoss",), "in loss); HYDRA_FULL_ERROR=1 shows the whole traceback"),
        (("task.data=mistakes.WrongDraw",), "KeyError: 'missing' (mistakes.py, line "),
        (("task.data=mistakes.WrongConstructor",), "in __init__)"),
        (("task.data=mistakes.WrongMetrics",), "the metric accuracy fails: RuntimeError: "),
        (("task.data=mistakes.Vector",), "the metric each must be one number, got a tensor [2]"),
        (("metrics=[mistakes.metric]",), "the metric metric fails: AttributeError: 'Tensor' object has no attribute"),
        (("metrics=[mistakes.metric]",), "(mistakes.py, line "),
        (("metrics=[torchmetrics.classification.BinaryAccuracy]",), "the metric BinaryAccuracy fails: "),
        (("+callbacks.extra.own._target_=mistakes.Hook",), "RuntimeError: this hook fails (mistakes.py, line "),
        (("+callbacks.extra.own._target_=mistakes.Figure", "callbacks.figures=true"), "in draw)"),
        (OWN_LOGGER, "LookupError: no such server (mistakes.py, line "),
        (("model=recurrent", "model.layer=mistakes.Layer", "model.name=own"), "in forward)"),
    ],
)
def test_an_error_in_user_code_is_reported_with_its_line(refused: Command, words: tuple[str, ...], place: str) -> None:
    assert place in refused(*TASK, "task.data=mistakes.Sums", *words)


def test_an_error_in_a_metric_during_evaluate_is_reported_with_its_line(cli: Command, workplace: Path) -> None:
    (workplace / "mistakes.py").write_text(CODE)
    assert cli("train", *SMALL, "trainer.max_epochs=1").code == 0
    words = (f"run={the_run(workplace).path}", "metrics=[mistakes.metric]", "trust=mistakes")
    outcome = cli("evaluate", *words)
    assert outcome.code == 1 and outcome.error.startswith("error: the metric metric fails: AttributeError: ")
    assert outcome.error.count("\n") == 1 and "(mistakes.py, line " in outcome.error


def test_an_error_in_a_sweep_job_is_reported_with_its_line(cli: Command, workplace: Path) -> None:
    (workplace / "mistakes.py").write_text(CODE)
    outcome = cli("train", "-m", *TASK, "task.data=mistakes.WrongDraw", "seed=0,1")
    assert outcome.code == 1 and "Traceback" not in outcome.error
    assert outcome.error.count("KeyError: 'missing' (mistakes.py, line ") >= 2


def test_evaluate_notes_user_code_and_data_that_changed_since_training(cli: Command, workplace: Path) -> None:
    used, named, data = workplace / "used_by_changed.py", workplace / "changed_cells.py", workplace / "data.csv"
    used.write_text("SLOPE = 1.0\n")  # of which the module that imports it has a number alone
    named.write_text(
        "from bionets.layers import NBRC\nfrom used_by_changed import SLOPE\n\nclass Own(NBRC):\n    slope = SLOPE\n"
    )
    data.write_text("a,y\n" + "".join(f"{n},{n % 2}\n" for n in range(60)))
    quiet = ("trainer.max_epochs=1", "callbacks=quiet", "logger=none")
    cell = ("model=recurrent", "model.layer=changed_cells.Own", "model.name=own", *SMALL[1:])
    table = ("model=feed_forward", "task=custom", "task.data=data.csv", *quiet)
    for words, seeds in ((cell, "seeds=1"), (table, "seeds=1"), (cell, "seeds=2")):
        outcome = cli("train", *words, seeds)
        assert outcome.code == 0 and "has changed" not in outcome.out, outcome.error
    again = cli("train", *cell)
    assert "already complete" in again.out and "has changed" not in again.out
    used.write_text(used.read_text() + "# another equation\n")
    data.write_text(data.read_text() + "61,1\n")
    assert "used_by_changed has changed since" in cli("train", *cell).out
    assert "used_by_changed has changed since" in cli("train", *cell, "seed=1").out
    changed = cli("train", *table)
    assert "already complete" in changed.out and "data.csv has changed since" in changed.out


def test_a_user_task_may_have_class_names(cli: Command, workplace: Path) -> None:
    (workplace / "mistakes.py").write_text(CODE)
    outcome = cli("train", *TASK, "task.data=mistakes.Named")
    assert outcome.code == 0, outcome.error
    outcome = cli("evaluate", f"run={the_run(workplace).path}", "trust=mistakes")
    assert outcome.code == 0, outcome.error


def test_data_loaders_without_a_length_give_the_same_metrics(cli: Command, workplace: Path) -> None:
    (workplace / "mistakes.py").write_text(CODE)
    words = [*TASK, "model=spiking_recurrent", "task.batch_size=4", "trainer.max_epochs=2"]
    results = []
    for name in ("Sums", "StreamedTest", "StreamedVal"):
        outcome = cli("train", *words, f"task.data=mistakes.{name}", f"name={name}")
        assert outcome.code == 0, outcome.error
        folder = the_run(next((workplace / "outputs").rglob(f"{name}-*")))
        results.append((folder.result() or {})["metrics"])
        evaluated = cli("evaluate", f"run={folder.path}", "trust=mistakes")
        assert evaluated.code == 0 and "was otherwise" not in evaluated.out, evaluated.error
    assert results[0]["test/spikes_per_step"] > 0
    assert results[1:] == results[:1] * 2


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("StreamedTrain", (), "train_dataloader of the task has no length"),
        ("StreamedTest", ("trainer.limit_test_batches=0.5",), "trainer.limit_test_batches=0.5 is a share of batches"),
        ("ListedVal", (), "val_dataloader of the task must return one loader"),
        ("StreamedVal", ("seeds=2",), "val_dataloader of your own works with one run at a time"),
    ],
)
def test_unusable_data_loaders_are_refused(refused: Command, name: str, words: tuple[str, ...], message: str) -> None:
    assert message in refused(*TASK, f"task.data=mistakes.{name}", "task.batch_size=4", *words)
