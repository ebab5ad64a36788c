"""Test a trained run again, from its folder alone."""

import json
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from bionets.experiment.build import bare_trainer, build_model, build_task, prepare_data, set_precision
from bionets.experiment.checkpoints import read_checkpoint
from bionets.experiment.errors import UserError, keyboard_interrupts
from bionets.experiment.report import print_metrics
from bionets.experiment.run_folder import RunFolder, write_atomically
from bionets.experiment.train import quieten


def evaluate(hydra_config: DictConfig) -> dict[str, float]:
    """Recompute the test metrics of a run from its ``best`` or ``last`` checkpoint, and keep them in
    ``evaluation-<checkpoint>.json``.
    """
    folder = RunFolder.existing(hydra_config.run)
    checkpoint = hydra_config.checkpoint
    if checkpoint not in ("best", "last"):
        raise UserError(f"checkpoint={checkpoint} is unknown: choose best or last")
    quieten()
    config = folder.config()
    if "data_dir" in config["task"]:
        config["task"]["data_dir"] = hydra_config.data_dir  # the run may have been made on another machine
    set_precision(config["matmul_precision"])
    task = build_task(config)
    model = build_model(config, task.spec)
    prepare_data(task)
    saved = read_checkpoint(folder.best if checkpoint == "best" else folder.last)
    try:
        model.load_state_dict(saved["state_dict"])
    except RuntimeError as error:
        raise UserError(
            f"checkpoint {checkpoint} of {folder.path} does not fit the model in its config.yaml: "
            "restore one of the two"
        ) from error
    trainer = bare_trainer(
        {"accelerator": hydra_config.accelerator, "devices": 1, "precision": config["trainer"]["precision"]},
        logger=False,
        enable_checkpointing=False,
    )
    with keyboard_interrupts():
        trainer.test(model, datamodule=task, verbose=False)
    metrics = task.summarise(model.test_results)
    result: dict[str, Any] = {
        "checkpoint": checkpoint,
        "epoch": saved["epoch"],
        "metrics": metrics,
        "tests": model.test_results,
    }
    file = folder.path / f"evaluation-{checkpoint}.json"
    write_atomically(file, json.dumps(result, indent=2) + "\n")
    console = Console()
    print_metrics(console, config, metrics)
    console.print(
        f"{checkpoint} checkpoint, epoch {saved['epoch']}; every number: {file}", highlight=False, soft_wrap=True
    )
    return metrics
