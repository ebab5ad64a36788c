"""A run is a folder: everything that is later read (evaluate, compare, resume, figures) is read from here."""

import fcntl
import hashlib
import json
import os
import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from bionets.experiment.errors import Busy, UserError

# Where and how a run is computed, not what: these do not name the run.
MACHINE = ("accelerator", "devices", "strategy", "num_nodes", "profiler", "detect_anomaly", "data_dir")
SCIENTIFIC = ("model", "task", "optimizer", "schedule", "average_weights", "trainer", "matmul_precision")


class RunFolder:
    """``<output_dir>/<task>/<model>/<name>-<hash>/seed-<n>/`` and its files. Nothing is written before ``open``."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yaml"
        self.overrides_file = self.path / "overrides.yaml"
        self.environment_file = self.path / "environment.json"
        self.metrics_file = self.path / "metrics.csv"
        self.positions_file = self.path / "positions.npz"
        self.result_file = self.path / "result.json"
        self.wandb_file = self.path / "wandb.json"
        self.checkpoints = self.path / "checkpoints"
        self.figures = self.path / "figures"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"

    @classmethod
    def of(cls, config: dict[str, Any], digest: str) -> "RunFolder":
        """The folder of a resolved config, whose scientific part has this digest."""
        root = Path(config["paths"]["output_dir"])
        return cls(
            root
            / config["task"]["name"]
            / config["model"]["name"]
            / f"{config['name']}-{digest}"
            / f"seed-{config['seed']}"
        )

    @classmethod
    def existing(cls, path: Path | str) -> "RunFolder":
        """The folder that a user named; anything but a run's folder is a UserError."""
        folder = cls(path)
        if not folder.config_file.is_file():
            raise UserError(
                f"{path} is not a run's folder (it has no config.yaml): name the folder that train.py printed"
            )
        return folder

    def config(self) -> dict[str, Any]:
        config = _read(self.config_file, yaml.safe_load)
        if not isinstance(config, dict) or not {"name", "seed", "model", "task", "trainer"} <= config.keys():
            raise UserError(f"{self.config_file} was not written by bionets: name a folder that train.py made")
        return config

    def overrides(self) -> list[str]:
        return _read(self.overrides_file, yaml.safe_load) or []

    def result(self) -> dict[str, Any] | None:
        """What ``result.json`` says, None where there is none yet."""
        return _read(self.result_file, json.loads) if self.result_file.exists() else None

    def complete(self) -> bool:
        result = self.result()
        return result is not None and result["status"] == "complete"

    def write_result(self, result: dict[str, Any]) -> None:
        write_atomically(self.result_file, json.dumps(result, indent=2) + "\n")

    @contextmanager
    def open(self, config: dict[str, Any], overrides: list[str], environment: dict[str, Any]) -> Iterator[None]:
        """Make the folder and hold it: a second process that wants the same run gets a UserError.

        The lock is the system's, so it ends with the process, however that ends.
        """
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(
                    f"another process is training {self.path}: wait for it, or choose another seed or name"
                ) from error
            if self.complete():
                raise Busy(f"another process has just completed {self.path}: the same command shows its results")
            for left in self.path.rglob(".*.partial"):  # by a process that was killed while it wrote
                left.unlink(missing_ok=True)
            self.result_file.unlink(missing_ok=True)
            write_atomically(self.config_file, yaml.safe_dump(config, sort_keys=False))
            write_atomically(self.overrides_file, yaml.safe_dump(overrides))
            write_atomically(self.environment_file, json.dumps(environment, indent=2) + "\n")
            yield

    def wandb_id(self) -> str:
        """The run's id at W&B: minted on the first call, the same ever after."""
        if not self.wandb_file.exists():
            alphabet = string.ascii_lowercase + string.digits
            identity = "".join(secrets.choice(alphabet) for _ in range(8))
            write_atomically(self.wandb_file, json.dumps({"id": identity}) + "\n")
        return _read(self.wandb_file, json.loads)["id"]


def scientific_digest(config: dict[str, Any]) -> str:
    """Eight hex digits that name everything in a resolved config that can change the result, the seed apart."""
    science = {key: config[key] for key in SCIENTIFIC if config.get(key) is not None}
    for part in ("trainer", "task"):
        science[part] = {key: value for key, value in science[part].items() if key not in MACHINE}
    canonical = json.dumps(science, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: a reader, or a crash at any moment, finds the old content or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path, parse: Any) -> Any:
    try:
        return parse(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: the folder is not a whole run") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}): restore it, or delete the folder and train again"
        ) from error
