"""Test a trained run again, from its folder alone."""

import json
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from bionets.experiment.commands.train import quieten
from bionets.experiment.interrupts import keyboard_interrupts
from bionets.experiment.run.build import bare_trainer
from bionets.experiment.run.callbacks import SeedEachEpoch
from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.report import print_metrics
from bionets.experiment.run.run_folder import RunFolder, write_atomically
from bionets.experiment.run.trained import load_trained


def evaluate(hydra_config: DictConfig) -> dict[str, float]:
    """Recompute the test metrics of a run from its ``best`` or ``last`` checkpoint, and keep them in
    ``evaluation-<checkpoint>.json``.
    """
    quieten()
    model, task = load_trained(hydra_config.run, hydra_config.checkpoint, hydra_config.data_dir)
    folder, checkpoint = RunFolder.existing(hydra_config.run), hydra_config.checkpoint
    config = folder.config()
    trainer = bare_trainer(
        {"accelerator": hydra_config.accelerator, "devices": 1, "precision": config["trainer"]["precision"]},
        callbacks=[SeedEachEpoch(config["seed"])],
        logger=False,
        enable_checkpointing=False,
        default_root_dir=folder.checkpoints,
    )
    with keyboard_interrupts():
        trainer.test(model, datamodule=task, verbose=False)
    metrics = task.summarise(model.test_results)
    epoch = read_checkpoint(folder.best if checkpoint == "best" else folder.last)["epoch"]
    result: dict[str, Any] = {
        "checkpoint": checkpoint,
        "epoch": epoch,
        "metrics": metrics,
        "tests": model.test_results,
    }
    file = folder.path / f"evaluation-{checkpoint}.json"
    write_atomically(file, json.dumps(result, indent=2) + "\n")
    console = Console()
    print_metrics(console, config, metrics)
    console.print(f"{checkpoint} checkpoint, epoch {epoch}; every number: {file}", highlight=False, soft_wrap=True)
    return metrics
