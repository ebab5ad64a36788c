"""Loggers by name, several at once, each imported only when it is used."""

import csv
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from bionets.experiment.logging import csv_mirror
from bionets.experiment.logging.csv_mirror import CsvMirror
from bionets.experiment.logging.mirrors import Mirror, MirroredRun
from bionets.experiment.run.checkpoints import AtomicCheckpointIO
from bionets.experiment.run.run_folder import RunFolder
from bionets.tasks import CopyFirstInput
from tests.acceptance.conftest import ROOT, Command, the_run
from tests.acceptance.test_optimizers import stop_in_epoch
from tests.experiment.logging.wandb_api import uploaded

SMALL = (
    "model=rnn",
    "model.hidden_size=4",
    "task=copy_first_input",
    "task.length=3",
    "task.stop_below=null",
    "task.train_size=20",
    "task.val_size=10",
    "task.test_size=10",
    "task.batch_size=10",
    "trainer.max_epochs=3",
)


def columns(folder: RunFolder) -> dict[str, list[str]]:
    """The columns of Lightning's CSV file, empty cells left out."""
    with (folder.path / "csv" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows if row[name]] for name in rows[0]}


def tensorboard_tags(folder: RunFolder) -> tuple[set[str], set[str], list[int]]:
    """The names of scalars and of images, and the steps at which the validation loss was written."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    return {*tags["scalars"]}, {*tags["images"]}, [event.step for event in events.Scalars("val/loss")]


def stop_at_checkpoint(patch: pytest.MonkeyPatch, epoch: int) -> None:
    """Stops a run after the metrics of an epoch were logged, but before its checkpoint is written."""
    before = AtomicCheckpointIO.save_checkpoint

    def stop(self: AtomicCheckpointIO, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if checkpoint["epoch"] == epoch:
            raise KeyboardInterrupt
        before(self, checkpoint, path, storage_options)

    patch.setattr(AtomicCheckpointIO, "save_checkpoint", stop)


STOPS = pytest.mark.parametrize(
    "stop",
    [partial(stop_in_epoch, epoch=2), partial(stop_at_checkpoint, epoch=0), partial(stop_at_checkpoint, epoch=1)],
)


@STOPS
def test_several_loggers_record_one_run_and_continue_when_it_is_resumed(
    cli: Command, workplace: Path, stop: Callable[[pytest.MonkeyPatch], None]
) -> None:
    pytest.importorskip("tensorboard")
    words = (*SMALL, "logger=[tensorboard,csv]", "callbacks.progress=false")
    with pytest.MonkeyPatch.context() as patch:
        stop(patch)
        assert cli("train", *words).code == 130
    outcome = cli("train", *words)
    assert outcome.code == 0, outcome.error
    folder = the_run(workplace)
    table = columns(folder)
    assert table["epoch"] == ["0", "1", "2"] and len(table["val/loss"]) == 3 and len(table["test/loss"]) == 1
    scalars, images, steps = tensorboard_tags(folder)
    assert {"train/loss", "val/loss", "test/loss"} <= scalars and "figures/loss" in images
    assert steps == [1, 3, 5]  # two batches an epoch
    assert not (folder.path / "wandb.json").exists()


@pytest.mark.parametrize("seeds", ["seeds=1", "seeds=2"])
def test_loggers_that_a_resumed_run_adds_record_its_first_epochs_too(cli: Command, workplace: Path, seeds: str) -> None:
    pytest.importorskip("tensorboard")
    words = (*SMALL, "model=brc", "callbacks=quiet", seeds)
    with pytest.MonkeyPatch.context() as patch:
        stop_in_epoch(patch, 2)
        assert cli("train", *words, "logger=none").code == 130
    outcome = cli("train", *words, "logger=[tensorboard,wandb]", "logger.mode=offline")
    assert outcome.code == 0, outcome.error
    for folder in map(RunFolder, (workplace / "outputs").rglob("seed-*")):
        assert tensorboard_tags(folder)[2] == [1, 3, 5]
        logs = sorted((folder.path / "wandb").glob("offline-run-*/*.wandb"))
        history = [row for log in logs for row in uploaded(log).history]
        assert [row["trainer/global_step"] for row in history if "val/loss" in row] == [1, 3, 5]


@pytest.mark.parametrize(
    "words",
    [
        ("trainer.val_check_interval=0.5",),
        ("trainer.log_every_n_steps=3", "trainer.check_val_every_n_epoch=2"),
        ("schedule=cosine", "+callbacks.extra.rate._target_=lightning.pytorch.callbacks.LearningRateMonitor"),
    ],
)
def test_the_csv_log_of_a_resumed_run_equals_that_of_an_uninterrupted_run(
    cli: Command, workplace: Path, words: tuple[str, ...]
) -> None:
    words = (*SMALL, *words, "task.batch_size=5", "logger=csv", "callbacks=quiet")
    with pytest.MonkeyPatch.context() as patch:
        stop_in_epoch(patch, 2)
        assert cli("train", *words, "paths.output_dir=part").code == 130
    for folder in ("part", "whole"):
        assert cli("train", *words, f"paths.output_dir={folder}").code == 0
    whole, part = ((the_run(workplace / name).path / "csv" / "metrics.csv").read_text() for name in ("whole", "part"))
    assert part == whole


@STOPS
def test_batched_seeds_log_each_epoch_once_despite_an_interruption(
    cli: Command, workplace: Path, stop: Callable[[pytest.MonkeyPatch], None]
) -> None:
    pytest.importorskip("tensorboard")
    words = (*SMALL, "model=brc", "seeds=2", "logger=tensorboard", "callbacks=quiet")
    with pytest.MonkeyPatch.context() as patch:
        stop(patch)
        assert cli("train", *words).code == 130
    outcome = cli("train", *words)
    assert outcome.code == 0 and "2 seeds at once" in outcome.out, outcome.error
    for folder in workplace.rglob("seed-*"):
        assert tensorboard_tags(RunFolder(folder))[2] == [1, 3, 5]


def test_mlflow_has_one_run_despite_an_interruption(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    for variable in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    words = (*SMALL, "logger=mlflow", "callbacks=quiet")
    assert cli("train", *words, "trainer.fast_dev_run=true").code == 0
    assert not (workplace / "mlruns").exists()
    with pytest.MonkeyPatch.context() as patch:
        stop_at_checkpoint(patch, 1)
        assert cli("train", *words).code == 130
    refused = cli("train", *words, "logger.mlflow.tracking_uri=elsewhere")
    assert refused.code == 1 and refused.error.startswith("error: MLflow has no run ") and "delete " in refused.error
    outcome = cli("train", *words)
    assert outcome.code == 0, outcome.error
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = mlflow.MlflowClient((workplace / "mlruns").as_uri())
    (experiment,) = client.search_experiments(filter_string="name = 'bionets'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and {"val/loss", "test/loss"} <= run.data.metrics.keys()
    assert len(client.get_metric_history(run.info.run_id, "val/loss")) == 3


def test_a_tag_without_a_plus_is_refused_with_the_word_to_type(cli: Command) -> None:
    for word in ("logger.mlflow.tags.topic=memory", "logger.mlflow.tags={topic:memory}"):
        outcome = cli("train", *SMALL, "logger=mlflow", word)
        assert outcome.code == 1 and outcome.error.count("\n") == 1
        assert "as in +logger.mlflow.tags.topic=..." in outcome.error


def test_wandb_and_csv_loggers_record_one_run(cli: Command, workplace: Path) -> None:
    words = (*SMALL, "logger=[wandb,csv]", "logger.mode=offline", "logger.tags=[demo]", "callbacks=quiet")
    outcome = cli("train", *words)
    assert outcome.code == 0, outcome.error
    folder = the_run(workplace)
    assert list(folder.path.glob("wandb/offline-run-*/*.wandb")) and columns(folder)["epoch"]


def test_a_user_logger_needs_one_class_and_one_config_file(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "my_logger.py").write_text(
        "from lightning.pytorch.loggers.logger import DummyLogger\n"
        "from bionets.experiment.logging.mirrors import Mirror\n"
        "class MyMirror(Mirror):\n"
        "    def __init__(self, run, file):\n"
        "        self.logger, self.file = DummyLogger(), file\n"
        "    def write_result(self, result, folder):\n"
        "        open(self.file, 'w').write(f\"{result['metrics']['test/loss']}\")\n"
    )
    (workplace / "mine" / "logger").mkdir(parents=True)
    (workplace / "mine" / "logger" / "mine.yaml").write_text(
        "# @package logger.mine\n_target_: my_logger.MyMirror\nfile: result.txt\n"
    )
    monkeypatch.syspath_prepend(workplace)
    outcome = cli("train", "--config-dir", "mine", *SMALL, "logger=[csv,mine]", "callbacks=quiet")
    assert outcome.code == 0, outcome.error
    result = the_run(workplace).result()
    assert result is not None and float((workplace / "result.txt").read_text()) == result["metrics"]["test/loss"]


def test_a_logger_that_is_not_installed_is_refused_before_anything_is_written(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bionets.experiment.logging.tensorboard_mirror import TensorBoardMirror

    monkeypatch.setattr(TensorBoardMirror, "needs", ("no_such_module", "tensorboard"))
    outcome = cli("train", *SMALL, "logger=tensorboard")
    assert outcome.code == 1 and "pip install 'bionets[tensorboard]'" in outcome.error
    assert not (workplace / "outputs").exists()


def test_a_logger_that_is_not_used_is_not_imported(workplace: Path) -> None:
    words = [*SMALL, "logger=csv", "callbacks=quiet"]
    code = f"""
import sys
from pathlib import Path
from bionets.experiment import command
sys.argv = ["train.py", *{words!r}]
try:
    command("train", configs=Path({str(ROOT / "configs")!r}))
except SystemExit as stopped:
    print("code", stopped.code, "imported", sorted({{"wandb", "tensorboard", "mlflow"}} & {{*sys.modules}}))
"""
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "code 0 imported []" in outcome.stdout, outcome.stdout + outcome.stderr


class Broken(Mirror):
    """A logger that cannot be closed."""

    def __init__(self, run: MirroredRun) -> None:
        self.logger = CSVLogger(run.folder.path, name="", version="broken")

    def close(self, failed: bool) -> None:
        raise ConnectionError("no network")


def test_a_complete_run_stays_complete_if_a_logger_cannot_be_closed(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, f"+logger.broken._target_={__name__}.Broken")
    assert outcome.code == 1 and "no network" in outcome.error
    assert the_run(workplace / "outputs").complete()


def test_loggers_of_batched_seeds_log_every_epoch_once_and_know_which_seed_has_failed(
    cli: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: dict[str, bool] = {}

    class Noting(CsvMirror):
        def __init__(self, run: MirroredRun, flush_logs_every_n_steps: int = 1) -> None:
            super().__init__(run, flush_logs_every_n_steps)
            self.seed = run.folder.path.name

        def close(self, failed: bool) -> None:
            closed.setdefault(self.seed, failed)  # the first of two for a seed that is tested
            super().close(failed)

    loss, steps = CopyFirstInput.loss, []

    def poisoned(task: CopyFirstInput, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if task.seed == 1 and prediction.requires_grad:
            steps.append(None)
        return loss(task, prediction, target) * (float("nan") if task.seed == 1 and len(steps) > 5 else 1)

    monkeypatch.setattr(CopyFirstInput, "loss", poisoned)
    monkeypatch.setattr(csv_mirror, "CsvMirror", Noting)
    outcome = cli("train", *SMALL, "model=brc", "logger=csv", "seeds=2")
    assert "failed: seed 1: the loss became nan" in outcome.error
    assert closed == {"seed-0": False, "seed-1": True}
    (failed,) = (workplace / "outputs").rglob("seed-1")
    epochs = columns(RunFolder(failed))["epoch"]
    assert epochs == sorted(epochs) and len(epochs) < 6
