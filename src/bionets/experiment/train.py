"""The story of a run: from a config to a folder that holds everything."""

import contextlib
import logging
import os
import warnings
from typing import Any

import wandb
from hydra.core.hydra_config import HydraConfig
from lightning import Trainer, seed_everything
from lightning.pytorch.loggers import WandbLogger
from omegaconf import DictConfig
from rich.console import Console

from bionets.analysis.figures import draw_run
from bionets.experiment import environment
from bionets.experiment.build import build_model, build_task, build_trainer, prepare_data, set_precision
from bionets.experiment.callbacks import Record
from bionets.experiment.checkpoints import read_checkpoint
from bionets.experiment.config import refuse_ddp_in_multirun, resolve, with_protocol
from bionets.experiment.errors import one_line
from bionets.experiment.metrics_file import Series, read_metrics
from bionets.experiment.model_figures import draw_model
from bionets.experiment.published import published
from bionets.experiment.report import print_results, title_of
from bionets.experiment.run_folder import RunFolder
from bionets.experiment.wandb_mirror import mirror, wandb_mode
from bionets.models import Model
from bionets.tasks import Task

MOVING_AVERAGE = 100  # steps; the window of brc_pytorch's curves


def train(hydra_config: DictConfig) -> dict[str, float]:
    """Train, test and draw the run that a config describes, and return its headline metrics.

    A run that is complete is not run again; one that stopped half-way goes on from its last checkpoint.
    """
    run = resolve(hydra_config)
    refuse_ddp_in_multirun(run)
    console = Console()
    first = os.environ.get("LOCAL_RANK", "0") == "0"  # ddp runs this command once for every process
    quieten()
    environment.keep_large_buffers()
    set_precision(run.values["matmul_precision"])
    wandb_mode(run.values["logger"]["mode"])
    seed_everything(run.values["seed"], workers=True, verbose=False)

    task = build_task(run.values)
    model = build_model(run.values, task.spec)
    run = with_protocol(run, task)
    config = run.values
    folder = RunFolder.of(config, run.digest)
    if folder.complete():
        result = folder.result()
        assert result is not None
        console.print(f"[bold]complete already[/]: {folder.path}", highlight=False, soft_wrap=True)
        print_results(console, config, result, folder, run.overrides)
        return result["metrics"]

    prepare_data(task)
    # Else Lightning's ddp would look for the files of a Hydra run, which ours does not write.
    HydraConfig.instance().cfg = None
    record = Record(folder.metrics_file, folder.last)
    trainer = build_trainer(config, task, folder, record)
    if not first:
        run_to_the_end(trainer, model, task, folder)
        return {}
    with folder.open(config, run.overrides, environment.describe()):
        start = f"going on after epoch {read_checkpoint(folder.last)['epoch']}" if folder.last.exists() else "training"
        console.print(f"[bold]{start}[/]: {folder.path}", highlight=False, soft_wrap=True)
        with mirror(config, folder, run.digest) as logger:
            trainer.loggers = [logger] if logger else []
            try:
                run_to_the_end(trainer, model, task, folder)
            except BaseException as error:
                note_failure(folder, error)
                if isinstance(error, KeyboardInterrupt):
                    console.print("stopped: the same command goes on from the last whole epoch", highlight=False)
                raise
            result = summarise(config, model, task, folder, record.total_seconds)
            if config["callbacks"]["figures"]:
                draw_run(folder.figures, title_of(config), read_metrics(folder.metrics_file), result["tests"])
                draw_model(folder.figures, title_of(config), model, task)
            if logger:
                mirror_result(logger, folder, result)
            folder.write_result(result)
    print_results(console, config, result, folder, run.overrides)
    return result["metrics"]


def run_to_the_end(trainer: Trainer, model: Model, task: Task, folder: RunFolder) -> None:
    """Fit, from the last checkpoint where there is one, then test the best epoch."""
    try:
        trainer.fit(model, datamodule=task, ckpt_path=folder.last if folder.last.exists() else None, weights_only=True)
        trainer.test(model, datamodule=task, ckpt_path=folder.best, verbose=False, weights_only=True)
    except SystemExit as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):  # Lightning turns Ctrl-C into an exit
            raise KeyboardInterrupt from stopped
        raise


def summarise(config: dict[str, Any], model: Model, task: Task, folder: RunFolder, seconds: float) -> dict[str, Any]:
    """What ``result.json`` will say, from the folder's files and the test just made."""
    best, last = read_checkpoint(folder.best), read_checkpoint(folder.last)
    series = read_metrics(folder.metrics_file)
    steps, values = series[task.monitor]
    metrics = task.summarise(model.test_results)
    metrics[task.monitor] = values[steps.index(best["global_step"] - 1)]
    metrics.update(measured_like_published(config, series))
    return {
        "status": "complete",
        "metrics": metrics,
        "tests": model.test_results,
        "epochs": last["epoch"] + 1,
        "steps": last["global_step"],
        "best_epoch": best["epoch"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "wall_time": seconds,
    }


def measured_like_published(config: dict[str, Any], series: Series) -> dict[str, float]:
    """Training losses at the step where a published curve was read off, averaged over the steps before it as that
    curve was.
    """
    measured = {}
    for name in published(config):
        curve, _, step = name.partition("_step_")
        steps, values = series.get(curve, ([], []))
        window = [
            value
            for at, value in zip(steps, values, strict=True)
            if int(step or 0) - MOVING_AVERAGE < at + 1 <= int(step or 0)
        ]
        if step and steps and steps[-1] + 1 >= int(step) and window:
            measured[name] = sum(window) / len(window)
    return measured


def note_failure(folder: RunFolder, error: BaseException) -> None:
    """Say in ``result.json`` why the run ended, where the disk still lets us."""
    status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    with contextlib.suppress(OSError):
        folder.write_result({"status": status, "error": one_line(error) or type(error).__name__})


def mirror_result(logger: WandbLogger, folder: RunFolder, result: dict[str, Any]) -> None:
    """Headline numbers and figures to W&B."""
    logger.experiment.summary.update(
        {**result["metrics"], "parameters": result["parameters"], "wall_time": result["wall_time"]}
    )
    figures = {f"figures/{file.stem}": wandb.Image(str(file)) for file in sorted(folder.figures.glob("*.png"))}
    if figures:
        logger.experiment.log(figures)


def quieten() -> None:
    """Silence what Lightning says of its own workings; what a user must know, we say."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
