"""Training of a run, from a config to a run folder."""

import logging
import sys
import warnings
from contextlib import suppress
from statistics import fmean
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning import Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from omegaconf import DictConfig

from bionets.analysis.confusion import draw_confusion_matrices
from bionets.analysis.figures import draw_run
from bionets.analysis.style import styled, use_style
from bionets.experiment.config.resolve import RunConfig, in_multirun, resolve_seeds
from bionets.experiment.console import print_line
from bionets.experiment.errors import Pruned, UserError, is_user_error, one_line
from bionets.experiment.interrupts import keyboard_interrupts
from bionets.experiment.logging.mirrors import check_mirrors, chosen_mirrors, mirrored
from bionets.experiment.run import environment
from bionets.experiment.run.build import (
    build_run,
    build_trainer,
    refuse_for_optimizer,
    refuse_processes,
)
from bionets.experiment.run.callbacks import Figures, NonFiniteLoss, Record
from bionets.experiment.run.checkpoints import read_checkpoint, restore_last
from bionets.experiment.run.data import prepare_data
from bionets.experiment.run.fast_dev_run import fast_dev_run
from bionets.experiment.run.isolation import isolated
from bionets.experiment.run.metrics_file import read_metrics
from bionets.experiment.run.model_summary import print_model, print_notes, print_task
from bionets.experiment.run.own_files import note_changes, own_files
from bionets.experiment.run.report import figure_title, print_results, print_stopped
from bionets.experiment.run.result import complete_result, note_failure, test_inputs
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import restoring
from bionets.experiment.run.tuning import find
from bionets.experiment.sweep.trial import begin_trial
from bionets.models import Model
from bionets.tasks import Task
from bionets.tasks.own_task import classes_by_target, columns_of


@isolated()
def train(hydra_config: DictConfig) -> dict[str, float]:
    """Train and test the run that a config describes, draw its figures, and return its headline metrics.

    A complete run is not repeated; an interrupted run resumes from its last checkpoint.
    """
    runs, multirun = resolve_seeds(hydra_config), in_multirun()
    # Otherwise Lightning's ddp would look for files of a Hydra run, which bionets does not write.
    HydraConfig.instance().cfg = None
    silence_libraries()
    environment.keep_large_buffers()
    if hydra_config.find is not None:
        with use_style(hydra_config.style):
            return find(runs[0], hydra_config.find, seeds=len(runs))
    with use_style(hydra_config.style), fast_dev_run(runs) as runs:
        return train_one(runs[0], multirun) if len(runs) == 1 else train_seeds(runs)


def train_seeds(runs: list[RunConfig]) -> dict[str, float]:
    """Train several seeds of one config together, test and draw each; return the means of their headline metrics."""
    from bionets.experiment.seeds.train_seeds import train_batched

    errors = train_batched(runs)
    metrics: list[dict[str, float]] = []
    for run in runs:
        seed = run.values["seed"]
        if seed not in errors:
            try:
                metrics.append(train_one(run, multirun=True))
            except Exception as error:
                if not is_user_error(error):
                    raise
                errors[seed] = error
    for seed, reason in errors.items():
        print(f"failed: seed {seed}: {one_line(reason)}", file=sys.stderr)
    if errors:
        raise UserError(f"{len(errors)} of {len(runs)} seeds failed: the same command starts them again")
    return {name: fmean(each[name] for each in metrics) for name in metrics[0]}


def train_one(run: RunConfig, multirun: bool) -> dict[str, float]:
    """Train, test and draw one run; with ``multirun``, its results are printed as one line."""
    check_mirrors(run.values["logger"])
    task, model, run = build_run(run)
    config = run.values
    folder = RunFolder.of(config, run.digest)
    record = Record(folder.metrics_file, folder.last)
    trainer = build_trainer(config, task, folder, [record, *begin_trial(folder.path, task)])
    refuse_processes(trainer, task, multirun)
    refuse_for_optimizer(trainer, model)
    if not trainer.is_global_zero:  # ddp runs this command once for every process; the first one writes and prints
        if chosen_mirrors(config["logger"]):
            trainer.loggers = [DummyLogger()]  # callbacks such as LearningRateMonitor require one in every process
        with suppress(NonFiniteLoss):  # every process raises it
            fit_and_test(trainer, model, task, folder)
        return {}
    folder.require_seed(config["seed"])
    if folder.complete():
        result = folder.result()
        assert result is not None
        print_line(f"already complete: {folder.path}")
        note_changes(folder, config["name"], own_files(config))
        print_results(config, result, folder, run.overrides, brief=multirun)
        return result["metrics"]

    prepare_data(task, config["trainer"])
    own, class_names, device = own_files(config), classes_by_target(task), trainer.strategy.root_device
    if folder.last.exists():
        folder.require_class_names(class_names)
        note_changes(folder, config["name"], own)
    with folder.open(config, run.overrides, environment.describe(device, own, class_names, columns_of(task))):
        restore_last(folder)
        print_line(f"{next_stage(folder, trainer.max_epochs)}: {folder.path}")
        if not folder.last.exists():
            print_notes(task, run)
        if not multirun:
            print_task(task)
            print_model(model, device)
        try:
            result = write_run(run, folder, trainer, model, task, record)
        except Pruned as pruned:
            note_failure(folder, pruned)
            print_line(f"pruned: {pruned}")
            return {}
        except BaseException as error:
            note_failure(folder, error)
            if isinstance(error, KeyboardInterrupt):
                print_stopped()
            raise
    print_results(config, result, folder, run.overrides, brief=multirun)
    return result["metrics"]


def write_run(
    run: RunConfig, folder: RunFolder, trainer: Trainer, model: Model, task: Task, record: Record
) -> dict[str, Any]:
    """Train and test, write the figures and the result to the run folder and to the loggers, and return the result."""
    with mirrored(run.values, folder, run.digest) as mirrors:
        trainer.loggers = [mirror.logger for mirror in mirrors]
        fit_and_test(trainer, model, task, folder)
        result = complete_result(run.values, model, task, folder, record.total_seconds)
        if run.values["callbacks"]["figures"]:
            draw_figures(run.values, folder, trainer, model, task, result["tests"])
        for mirror in mirrors:
            mirror.write_result(result, folder)
        folder.write_result(result)
    return result


def draw_figures(
    config: dict[str, Any], folder: RunFolder, trainer: Trainer, model: Model, task: Task, tests: dict[str, Any]
) -> None:
    """Draw the figures of a run: of its metrics, of its model for a test sample, and of callbacks."""
    title, (x, *lengths) = figure_title(config), next(test_inputs(model, task))
    x = x[: int(lengths[0][0])] if lengths else x  # figures show the first sequence
    draw_run(folder.figures, title, read_metrics(folder.metrics_file), tests, config["model"]["name"])
    draw_confusion_matrices(folder.figures, title, model.confusion_matrices)
    model.eval().draw(folder.figures, title, x)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Figures):
            styled(callback.draw)(folder.figures, title, model, x)


def next_stage(folder: RunFolder, max_epochs: int | None) -> str:
    """The next stage of a run: training, testing, or training from a later epoch."""
    if not folder.last.exists():
        return "training"
    epoch = read_checkpoint(folder.last)["epoch"]
    return "testing" if epoch + 1 == max_epochs else f"going on after epoch {epoch}"


def fit_and_test(trainer: Trainer, model: Model, task: Task, folder: RunFolder) -> None:
    """Train, from the last checkpoint if there is one, then test the best epoch."""
    trainer.precision_plugin.convert_module(model)  # otherwise float64 weights would be loaded as float32
    last = folder.last if folder.last.exists() else None
    with keyboard_interrupts():
        with restoring(last):
            trainer.fit(model, datamodule=task, ckpt_path=last, weights_only=True)
        if not folder.best.exists():
            raise UserError(
                "training ended before anything was validated, so there is no best epoch to test: "
                "give it more time (trainer.max_time)"
            )
        with restoring(folder.best):
            trainer.test(model, datamodule=task, ckpt_path=folder.best, verbose=False, weights_only=True)


def silence_libraries() -> None:
    """Silence messages and warnings of Lightning, and print those of its profilers and of long compilations."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("lightning.pytorch.profilers", "bionets.scan"):  # the report of trainer.profiler; long compiling
        speaker = logging.getLogger(name)
        speaker.setLevel(logging.INFO)
        speaker.propagate, speaker.handlers = False, [PrintHandler()]
    warnings.filterwarnings("ignore", module="lightning.*")


class PrintHandler(logging.Handler):
    """Prints log messages unchanged."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage())
