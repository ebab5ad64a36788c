"""Listing and deletion of run folders of any status."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bionets.experiment.comparison.runs import require_run_folders, value_of
from bionets.experiment.console import printable_line
from bionets.experiment.errors import UserError
from bionets.experiment.run.run_folder import RunFolder

ENDED_EARLY = ("failed", "interrupted", "pruned", "stopped")
STATUSES = ("complete", "running", *ENDED_EARLY, "unreadable")


@dataclass(frozen=True)
class ListedRun:
    """A run of any status.

    ``status``: that in ``result.json``; without this file, ``running`` if a process is training the run, otherwise
    ``stopped`` (it was killed); ``unreadable`` if a file is damaged. ``epochs``: completed and total number of epochs,
    as ``12/20``. ``metric``: name of ``value``. ``note``: the reason why the run ended early. ``metrics``: its headline
    numbers.
    """

    path: Path
    status: str
    config: dict[str, Any] = field(default_factory=dict)
    epochs: str = ""
    metric: str = ""
    value: float | None = None
    seconds: float | None = None
    changed: datetime | None = None
    note: str = ""
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def task(self) -> str:
        return value_of(self.config, "task")

    @property
    def model(self) -> str:
        return value_of(self.config, "model")

    @property
    def figures(self) -> list[Path]:
        return RunFolder(self.path).figure_files()


def listed_runs(pattern: str, metric: str | None = None) -> list[ListedRun]:
    """All runs in or below the folders that match a glob. ``metric`` is one of their headline numbers; None for the
    first accuracy, otherwise the first number.
    """
    return [listed(RunFolder(path), metric) for path in require_run_folders(pattern)]


def listed(folder: RunFolder, metric: str | None = None) -> ListedRun:
    changed = _last_change(folder)
    try:
        config, result = folder.config(), folder.result()
    except (UserError, OSError) as error:
        return ListedRun(folder.path, "unreadable", changed=changed, note=printable_line(error))
    if result is None:
        with unused(folder) as free:
            result = {"status": "stopped" if free else "running"}
    numbers = result.get("metrics", {})
    name = metric or next((name for name in numbers if "accuracy" in name), next(iter(numbers), ""))
    return ListedRun(
        folder.path,
        result["status"],
        config,
        f"{_epochs(folder)}/{config['trainer'].get('max_epochs')}",
        name,
        numbers.get(name),
        result.get("wall_time"),
        changed,
        printable_line(result.get("error", "")),
        numbers,
    )


def delete(run: ListedRun) -> bool:
    """Delete the folder of a run that ended early, and the two folders above it if they are then empty. Return False if
    the run has started again in the meantime.
    """
    if run.status not in ENDED_EARLY:
        raise UserError(f"{run.path} is {run.status}: only runs that ended early are deleted")
    folder = RunFolder(run.path)
    with unused(folder) as free:
        result = folder.result() if free else None
        if not free or (result["status"] if result else "stopped") != run.status:
            return False
        shutil.rmtree(run.path)
    with suppress(OSError):  # not empty
        run.path.parent.rmdir()
        run.path.parent.parent.rmdir()
    return True


@contextmanager
def unused(folder: RunFolder) -> Iterator[bool]:
    """Whether no process is training a run. The lock of the run, if there is one, is held within this context."""
    lock = folder.path / ".lock"
    if lock.is_symlink() or not lock.is_file() or not os.access(lock, os.W_OK):  # runs create a regular file
        yield True
        return
    try:
        with FileLock(lock, timeout=0, thread_local=False):
            yield True
    except Timeout:
        yield False


def _last_change(folder: RunFolder) -> datetime | None:
    times = []
    for file in (folder.result_file, folder.metrics_file, folder.config_file):
        with suppress(OSError):
            times.append(file.stat().st_mtime)
    return datetime.fromtimestamp(max(times)) if times else None


def _epochs(folder: RunFolder) -> int:
    """The number of completed epochs, from the last row of ``metrics.csv``."""
    if not folder.metrics_file.is_file():  # reading a pipe would not end
        return 0
    try:
        with folder.metrics_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1000))
            return int(file.read().splitlines()[-1].split(b",")[1]) + 1
    except (OSError, IndexError, ValueError):
        return 0
