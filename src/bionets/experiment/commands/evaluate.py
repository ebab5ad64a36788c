"""Test of a trained run, from its folder."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bionets.analysis.confusion import draw_confusion_matrices
from bionets.analysis.style import use_style
from bionets.atomic import write_atomically
from bionets.experiment.commands.train import silence_libraries
from bionets.experiment.console import print_line
from bionets.experiment.errors import UserError
from bionets.experiment.interrupts import keyboard_interrupts
from bionets.experiment.run.build import bare_trainer
from bionets.experiment.run.callbacks import SeedEachEpoch
from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.custom_metrics import add_metrics, headlines
from bionets.experiment.run.own_files import note_changes, own_files
from bionets.experiment.run.predictions import Predictions
from bionets.experiment.run.report import figure_title, print_metrics
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import load_trained, using
from bionets.experiment.run.trust import as_modules
from bionets.models import Model
from bionets.tasks import Task
from bionets.tasks.own_task import classes_by_target

SPLIT = ("split_seed", "test_share", "held_out")
"""Options that select the samples of the test set."""
DATA = {"data", "dataset"}


def evaluate(hydra_config: DictConfig) -> dict[str, float]:
    """Recompute the test metrics of a run from its ``best`` or ``last`` checkpoint, with additional metrics or on other
    data if given, and write them to ``evaluation-<checkpoint>.json``, or for other data to
    ``evaluation-<checkpoint>-<hash of the task's options>.json``. The confusion matrices are drawn beside those of the
    run, and with ``predictions`` the prediction for each test sample is written as a CSV.

    Files of a complete run that were changed after the run had written them are listed. If the test needs one of them,
    UserError is raised.
    """
    silence_libraries()
    if hydra_config.trainer.strategy != "auto":
        raise UserError("evaluate tests in one process: choose accelerator=auto, cpu or gpu")
    folder, checkpoint = RunFolder.existing(hydra_config.run), hydra_config.checkpoint
    other: Any = OmegaConf.to_container(hydra_config.task, resolve=True)
    figures, config = folder.without_links(folder.figures), folder.config()
    trust = as_modules(hydra_config.trust)
    model, task = load_trained(folder.path, checkpoint, hydra_config.data_dir, trust, task_options=other)
    add_metrics(task, [path for path in hydra_config.metrics if path not in config.get("metrics", ())])
    predictions = Predictions(task) if hydra_config.predictions else None
    device = {str(key): value for key, value in hydra_config.trainer.items()}
    epoch = test_checkpoint(folder, config, checkpoint, model, task, predictions, device)
    metrics = headlines(task, model.test_results)
    note_changes(folder, config["name"], own_files(config))
    for note in notes_on_evaluation(folder, config, checkpoint, task, other, metrics):
        print_line(f"note: {note}")
    print_metrics(config, metrics)  # before the files are written, which fails in a folder of somebody else
    suffix = f"-{checkpoint}{short_hash(other) if other else ''}"
    result = {"checkpoint": checkpoint, "epoch": epoch, "metrics": metrics, "tests": model.test_results}
    file, predictions_file = folder.path / f"evaluation{suffix}.json", folder.path / f"predictions{suffix}.csv"
    write_atomically(file, json.dumps(result | ({"task": other} if other else {}), indent=2) + "\n")
    if predictions:
        write_atomically(predictions_file, predictions.text.getvalue())
    if config["callbacks"]["figures"]:
        with use_style(config.get("style", "paper")):
            draw_confusion_matrices(figures, figure_title(config), model.confusion_matrices, suffix)
    print_line(f"{checkpoint} checkpoint, epoch {epoch}; every number: {file}")
    if predictions:
        print_line(f"predictions: {predictions_file}")
    return metrics


def test_checkpoint(
    folder: RunFolder,
    config: Mapping[str, Any],
    checkpoint: str,
    model: Model,
    task: Task,
    predictions: Predictions | None,
    device: Mapping[str, Any],
) -> int:
    """Test the model with the weights of a checkpoint, in the precision of the run's config, and return their epoch."""
    trainer = bare_trainer(
        {**device, "precision": config["trainer"].get("precision", "32-true")},
        callbacks=[SeedEachEpoch(config["seed"]), *([predictions] if predictions else [])],
        logger=False,
        enable_checkpointing=False,
        default_root_dir=folder.checkpoints,
    )
    if trainer.world_size > 1:
        raise UserError(f"evaluate tests on one device: leave out trainer.devices={device['devices']}")
    saved = read_checkpoint(folder.checkpoint(checkpoint))
    with keyboard_interrupts(), using(folder):
        trainer.precision_plugin.convert_module(model).load_state_dict(saved["state_dict"])  # not rounded to float32
        trainer.test(model, datamodule=task, verbose=False)
    epoch: int = saved["epoch"]
    return epoch


def notes_on_evaluation(
    folder: RunFolder,
    config: Mapping[str, Any],
    checkpoint: str,
    task: Task,
    other: Mapping[str, Any],
    metrics: Mapping[str, float],
) -> Iterator[str]:
    """Notes on changed files, on the effects of other data, and on metrics that differ from those of the run.

    Args:
        config: that of the run.
        task: the task that was tested.
        other: options of the task that differ from those of the run.
        metrics: what the evaluation measured.
    """
    yield from (f"{folder.path / name} {fault}" for name, fault in folder.changed_files().items())
    yield from notes_on(other, config["task"])
    named = [each for each in classes_by_target(task).values() if not isinstance(each, int)]
    if named and other.keys() & DATA and not folder.class_names():
        yield "the run has not kept the names of its classes: those of the other data count in their own order"
    limit = config["trainer"].get("limit_test_batches")
    if limit is not None and (isinstance(limit, int) or limit < 1):  # 1 is a batch, 1.0 all of them
        yield f"the run was tested with trainer.limit_test_batches={limit}, this evaluation with the whole test set"
    elif not other and checkpoint == "best":
        yield from notes_on_changes((folder.result() or {}).get("metrics", {}), metrics)


def notes_on(other: Mapping[str, Any], task: Mapping[str, Any]) -> Iterator[str]:
    """Notes on the limited meaning of results with changed options of the run's task."""
    changed = {key for key, value in other.items() if value != task.get(key)}
    moved = [key for key in SPLIT if key in changed]
    if moved and not changed & DATA:
        yield f"task.{moved[0]} makes another split: the run may have been trained on samples of this test set"
    if changed & DATA and task.get("standardise"):
        yield "task.standardise has the mean and deviation of the other data, not of those that the run was trained on"
    if changed & DATA and "test_share" in task:
        share = other.get("test_share", task["test_share"])
        yield f"task.test_share={share} is the share of the other data that is tested"
    arguments = other.get("arguments", task.get("arguments")) or {}
    if changed & DATA and {"height", "width"} & arguments.keys() and "sensor" not in arguments:
        yield "task.arguments.sensor is not given: events are scaled from the resolution that the other recordings have"
    if changed & DATA and task.get("class_weights") == "balanced":
        yield "task.class_weights=balanced weighs the loss by the classes of the other data"


def notes_on_changes(before: Mapping[str, float], now: Mapping[str, float]) -> Iterator[str]:
    """A note on the first metric that differs from that at the end of the run by more than rounding."""
    for name, value in now.items():
        both_nan = math.isnan(value) and math.isnan(before.get(name, 0))
        if name in before and not both_nan and not math.isclose(before[name], value, rel_tol=1e-3, abs_tol=1e-6):
            yield (
                f"{name} was {before[name]:.4g} when the run ended and is {value:.4g} now: "
                "another device, or changed code or data; to train it anew, give it a name of its own (name=...)"
            )
            return


def short_hash(options: dict[str, Any]) -> str:
    """A dash and eight hexadecimal digits of a hash of the changed options, for the names of files."""
    return "-" + hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()[:8]
