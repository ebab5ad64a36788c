"""Run folders as train.py leaves them, without the training."""

import json
from pathlib import Path
from typing import Any

import yaml

ADDITION = {
    "name": "binary_addition",
    "curriculum": True,
    "min_length": 3,
    "length": 20,
    "epochs_per_length": 15,
    "train_size": 10_000,
}


def config_of(model: str = "brc", seed: int = 0, layers: int = 1, lr: float = 0.001) -> dict[str, Any]:
    return {
        "name": "run",
        "seed": seed,
        "model": {"name": model, "num_layers": layers, "hidden_size": 100},
        "task": {**ADDITION, "seed": seed},
        "optimizer": {"lr": lr},
        "trainer": {"max_epochs": 270, "accelerator": "cpu"},
        "logger": {"entity": None, "project": "bionets"},
    }


def result_of(accuracy: float) -> dict[str, Any]:
    tests = {f"length_{length}": {"accuracy": accuracy * 3 / length, "loss": 0.1} for length in (3, 60)}
    metrics = {"test/accuracy_length_60": accuracy, "val/loss": 1 - accuracy}
    return {"status": "complete", "metrics": metrics, "tests": tests, "parameters": 20901, "wall_time": 12.5}


def make_run(
    root: Path, model: str = "brc", seed: int = 0, accuracy: float | None = 0.5, layers: int = 1, lr: float = 0.001
) -> Path:
    """A run that ended with this accuracy, or has not ended."""
    config = config_of(model, seed, layers, lr)
    folder = root / model / f"run-{layers}-{lr}" / f"seed-{seed}"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    lines = [f"{step},0,train/loss,{1 / (step + 1)}" for step in range(30)]
    (folder / "metrics.csv").write_text("\n".join(["step,epoch,name,value", *lines, "29,0,val/loss,0.5"]) + "\n")
    if accuracy is not None:
        (folder / "result.json").write_text(json.dumps(result_of(accuracy)))
    return folder


def add_offline_wandb(folder: Path, identity: str = "abc12345", synced: bool = False) -> Path:
    """W&B's own files within a run's folder, with their ``config.yaml`` that is not ours."""
    files = folder / "wandb" / f"offline-run-20260101_000000-{identity}" / "files"
    files.mkdir(parents=True)
    (files / "config.yaml").write_text("model: {value: {name: brc}}\n")
    (folder / "wandb.json").write_text(json.dumps({"id": identity}))
    log = files.parent / f"run-{identity}.wandb"
    log.touch()
    if synced:
        log.with_name(f"{log.name}.synced").touch()
    return log
