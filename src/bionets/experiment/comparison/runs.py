"""Reading of the runs to compare from their folders."""

import glob
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bionets.experiment.console import printable_line
from bionets.experiment.errors import UserError, places_of, suggestion
from bionets.experiment.run.metrics_file import Series, read_metrics
from bionets.experiment.run.run_folder import RunFolder

ABSENT = "-"  # the value of a config key that a run lacks
LARGEST = 1e100  # largest number that can be compared: sums of squares of larger ones overflow
MORE = ("parameters", "wall_time")


class HasConfig(Protocol):
    """Anything with the config of a run."""

    @property
    def config(self) -> dict[str, Any]: ...


AnyRun = TypeVar("AnyRun", bound=HasConfig)


@dataclass(frozen=True)
class WandbPlace:
    """The location of a run at W&B. An ``entity`` of None is the user's default."""

    entity: str | None
    project: str
    identity: str


@dataclass(frozen=True)
class Run:
    """A run, read from its folder or from W&B. One that has not ended has no metrics and no tests, only curves.

    ``place``: its folder, or its address at W&B. ``metrics``: its headline numbers. ``tests``: every metric of every
    test set. ``curves``: a function that reads the values measured during training. ``more``: numbers that are shown
    only on request.
    """

    place: str
    config: dict[str, Any]
    metrics: dict[str, float]
    tests: dict[str, dict[str, float]]
    curves: Callable[[], Series]
    more: dict[str, float] = field(default_factory=dict)
    mirror: WandbPlace | None = None
    changed: dict[str, str] = field(default_factory=dict)
    """Files that were changed after the run had written them, and the fault of each."""

    @property
    def ended(self) -> bool:
        return bool(self.metrics)

    @property
    def seed(self) -> int:
        return self.config["seed"]

    def value(self, metric: str) -> float | None:
        """A headline number, ``parameters``, ``wall_time`` or ``<test set>/<metric>``; None if it does not exist."""
        shown = {**self.more, **self.metrics}
        if metric in shown:
            return shown[metric]
        test, _, name = metric.rpartition("/")
        return self.tests.get(test, {}).get(name)


@dataclass(frozen=True)
class LeftOut:
    """A run that is not compared, and the reason. ``incomplete``: its training has not ended or failed, so that the
    same command trains it further.
    """

    place: str
    reason: str
    incomplete: bool = False

    def __str__(self) -> str:
        return f"left out, {self.reason}: {self.place}"


def read_folders(pattern: str, unfinished: bool = False) -> tuple[list[Run], list[LeftOut]]:
    """Read all runs in or below the folders that match a glob: the complete ones (with ``unfinished``, also those that
    have not ended), and the others, which include damaged ones. Raises UserError if there is no run folder.
    """
    runs, left_out = [], []
    for folder in map(RunFolder, require_run_folders(pattern)):
        try:
            read = read_run(folder, unfinished)
        except (UserError, OSError) as error:
            read = LeftOut(str(folder.path), f"unreadable ({printable_line(error)})")
        if isinstance(read, Run):
            runs.append(read)
        else:
            left_out.append(read)
    return runs, left_out


def read_run(folder: RunFolder, unfinished: bool = False) -> Run | LeftOut:
    result = folder.result()
    if unfinished and (result is None or result["status"] == "interrupted") and folder.metrics_file.exists():
        result = {"metrics": {}, "tests": {}}
    elif result is None:
        return LeftOut(str(folder.path), "not ended", incomplete=True)
    elif result["status"] != "complete":
        reason = f"{result['status']} ({printable_line(result.get('error', ''))})"
        return LeftOut(str(folder.path), reason, incomplete=True)
    config = folder.config()
    if re.fullmatch(r"seed-\d+", folder.path.name) and folder.path.name != f"seed-{config['seed']}":
        seed = config["seed"]
        return LeftOut(
            str(folder.path), f"unreadable ({folder.config_file} says seed {seed}: name the folder seed-{seed})"
        )
    logger = config.get("logger", {})
    run = Run(
        str(folder.path),
        config,
        result["metrics"],
        result["tests"],
        cache(lambda: _read_curves(folder)),
        {name: result[name] for name in MORE if name in result},
        WandbPlace(logger.get("entity"), logger.get("project", "bionets"), folder.wandb_id())
        if folder.wandb_file.exists()
        else None,
        folder.changed_files(contents=False),
    )
    return comparable(run)


def comparable(run: Run) -> Run | LeftOut:
    """The run, or the reason why its numbers have no mean: one is infinite, NaN or too large."""
    for name, value in _numbers(run):
        if not abs(value) < LARGEST:
            return LeftOut(run.place, f"its {name} is {value}")
    return run


def readable(runs: Sequence[Run]) -> tuple[list[Run], list[LeftOut]]:
    """The runs whose curves can be read, and the others."""
    found, left_out = [], []
    for run in runs:
        try:
            curves = run.curves()
        except (UserError, OSError) as error:
            left_out.append(LeftOut(run.place, f"unreadable ({printable_line(error)})"))
            continue
        large = [
            name for name, (_, values) in curves.items() if any(LARGEST <= abs(each) < math.inf for each in values)
        ]
        if large:
            left_out.append(LeftOut(run.place, f"its {large[0]} is too large to be drawn"))
        else:
            found.append(run)
    return found, left_out


def changes(runs: Sequence[Run]) -> list[str]:
    """A line for each file that was changed after the runs had written it."""
    places: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for change in run.changed.items():
            places.setdefault(change, []).append(run.place)
    return [f"{name} {fault} in {abbreviated(where)}" for (name, fault), where in places.items()]


def abbreviated(places: Sequence[str]) -> str:
    """The first place, and the number of the others."""
    return places[0] + (f" and {len(places) - 1} more" if len(places) > 1 else "")


def _numbers(run: Run) -> Iterator[tuple[str, float]]:
    yield from run.metrics.items()
    for test, metrics in run.tests.items():
        yield from ((f"{test}/{name}", value) for name, value in metrics.items())


def _read_curves(folder: RunFolder) -> Series:
    folder.require_unchanged(folder.metrics_file)
    return read_metrics(folder.metrics_file)


def run_folders(pattern: str) -> list[Path]:
    """All run folders in or below the folders that match a glob.

    The contents of run folders are not searched, because W&B stores a ``config.yaml`` of its own there.
    """
    # The name of a folder may contain characters that are wildcards in a glob. pathlib globs only below a given folder.
    places = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
    found = {folder for place in places for folder in _run_folders_below(Path(place))}
    return sorted(folder for folder in found if found.isdisjoint(folder.parents))  # ``**`` also matches what is in runs


def require_run_folders(pattern: str) -> list[Path]:
    """As `run_folders`. Raises UserError if there is none."""
    folders = run_folders(pattern)
    if not folders:
        raise UserError(f"no run folder in runs={pattern}: name a folder that train.py made, or one above it")
    return folders


def _run_folders_below(place: Path) -> Iterator[Path]:
    for path, directories, files in os.walk(place):
        if "config.yaml" in files:
            directories.clear()
            yield Path(path)
        directories[:] = [name for name in directories if not name.startswith(".")]


def matching(runs: Sequence[AnyRun], where: dict[str, Any]) -> list[AnyRun]:
    """The runs with these values in their config."""
    for key in where:
        require_key(runs, key, "where")
    return [run for run in runs if all(_same(value_of(run.config, key), str(value)) for key, value in where.items())]


def _same(value: str, wanted: str) -> bool:
    """Whether two values are equal, as words or as numbers: 1 and 1.0."""
    try:
        return value == wanted or float(value) == float(wanted)
    except ValueError:
        return False


def require_mapping(where: Any) -> None:
    if not isinstance(where, dict | None):
        raise UserError(f"where={where} is not a mapping: write 'where={{task.length:300,model.num_layers:2}}'")


def require_key(runs: Sequence[HasConfig], key: str, argument: str) -> None:
    if all(value_of(run.config, key) == ABSENT for run in runs):
        known = list(dict.fromkeys(place for run in runs for place in places_of(key, run.config)))
        hint = suggestion(known) or ": try model, task.length or model.num_layers"
        raise UserError(f"{argument}={key} is not a key of any run's config.yaml{hint}")


def value_of(config: dict[str, Any], key: str) -> str:
    """The value of a config at a dotted key; ``model`` and ``task`` mean their names. A long value is cut off and has a
    hash, because runs with equal values are pooled.
    """
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return ABSENT
        value = value[part]
    text = str(value.get("name", value) if isinstance(value, dict) else value)
    line = printable_line(text)
    return f"{line} #{sha256(text.encode()).hexdigest()[:8]}" if line.endswith("…") else line
