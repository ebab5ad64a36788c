"""The runs to compare, read from their folders."""

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bionets.experiment.errors import UserError
from bionets.experiment.run.metrics_file import Series, read_metrics
from bionets.experiment.run.run_folder import RunFolder

ABSENT = "-"  # the value of a config key that a run lacks
MORE = ("parameters", "wall_time")


@dataclass(frozen=True)
class Mirror:
    """Where W&B has, or will have, a run. An ``entity`` of None is the user's own."""

    entity: str | None
    project: str
    identity: str


@dataclass(frozen=True)
class Run:
    """A complete run, wherever it was read from.

    ``place`` is its folder or its address at W&B; ``metrics`` its headline numbers; ``more`` those that are shown only
    when asked for; ``tests`` every metric of every test set; ``curves`` reads what was measured during training.
    """

    place: str
    config: dict[str, Any]
    metrics: dict[str, float]
    tests: dict[str, dict[str, float]]
    curves: Callable[[], Series]
    more: dict[str, float] = field(default_factory=dict)
    mirror: Mirror | None = None

    @property
    def seed(self) -> int:
        return self.config["seed"]

    def value(self, metric: str) -> float | None:
        """A headline number, ``parameters``, ``wall_time``, or ``<test set>/<metric>``; None where there is none."""
        shown = {**self.more, **self.metrics}
        if metric in shown:
            return shown[metric]
        test, _, name = metric.rpartition("/")
        return self.tests.get(test, {}).get(name)


@dataclass(frozen=True)
class LeftOut:
    """A run that is not compared, and why."""

    place: str
    reason: str


def read_folders(pattern: str) -> tuple[list[Run], list[LeftOut]]:
    """All runs in or below the folders that a glob names: the complete ones, and the others."""
    folders = run_folders(pattern)
    if not folders:
        raise UserError(f"no run's folder in runs={pattern}: name a folder that train.py made, or one above it")
    runs, left_out = [], []
    for folder in map(RunFolder, folders):
        try:
            read = read_run(folder)
        except UserError as error:
            read = LeftOut(str(folder.path), f"unreadable ({error})")
        if isinstance(read, Run):
            runs.append(read)
        else:
            left_out.append(read)
    return runs, left_out


def read_run(folder: RunFolder) -> Run | LeftOut:
    result = folder.result()
    if result is None:
        return LeftOut(str(folder.path), "not ended")
    if result["status"] != "complete":
        return LeftOut(str(folder.path), f"{result['status']} ({result['error']})")
    config = folder.config()
    mirrored = folder.wandb_file.exists()
    return Run(
        str(folder.path),
        config,
        result["metrics"],
        result["tests"],
        lambda: read_metrics(folder.metrics_file),
        {name: result[name] for name in MORE if name in result},
        Mirror(config["logger"]["entity"], config["logger"]["project"], folder.wandb_id()) if mirrored else None,
    )


def run_folders(pattern: str) -> list[Path]:
    """Every run's folder in or below the places that a glob names.

    What lies within a run's folder is not looked at: W&B keeps a ``config.yaml`` of its own there.
    """
    places = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - pathlib globs only below a given folder
    return sorted({folder for place in places for folder in _run_folders_below(Path(place))})


def _run_folders_below(place: Path) -> Iterator[Path]:
    for path, directories, files in os.walk(place):
        if "config.yaml" in files:
            directories.clear()
            yield Path(path)
        directories[:] = [name for name in directories if not name.startswith(".")]


def matching(runs: Sequence[Run], where: dict[str, Any]) -> list[Run]:
    """The runs whose config has these values."""
    for key in where:
        require_key(runs, key, "where")
    return [run for run in runs if all(value_of(run.config, key) == str(value) for key, value in where.items())]


def require_key(runs: Sequence[Run], key: str, argument: str) -> None:
    if all(value_of(run.config, key) == ABSENT for run in runs):
        raise UserError(
            f"{argument}={key} is not a key of any run's config.yaml: try model, task.length or model.num_layers"
        )


def value_of(config: dict[str, Any], key: str) -> str:
    """What a config says at a dotted key; ``model`` and ``task`` mean their names."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return ABSENT
        value = value[part]
    return str(value.get("name", value) if isinstance(value, dict) else value)
