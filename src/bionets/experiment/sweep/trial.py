"""The link from a run to the trial of a search: reports and pruning."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from lightning import Callback, LightningModule, Trainer

from bionets.experiment.errors import UserError
from bionets.tasks import Task

if TYPE_CHECKING:
    from bionets.experiment.sweep.study import StudyTrial  # imports Optuna, which runs do not need


_current: "ContextVar[StudyTrial | None]" = ContextVar("trial", default=None)


@contextmanager
def running(trial: "StudyTrial") -> Iterator[None]:
    """Make the runs within this context runs of a trial."""
    token = _current.set(trial)
    try:
        yield
    finally:
        _current.reset(token)


def in_trial() -> bool:
    return _current.get() is not None


def begin_trial(folder: Path, task: Task) -> list[Callback]:
    """Assign the run in this folder to the current trial; the callback that reports to it, none outside a search."""
    trial = _current.get()
    if trial is None:
        return []
    if task.mode != trial.mode:
        raise UserError(
            f"this task's {task.monitor} is best where it is {task.mode}imal, but the search looks for the "
            f"{trial.mode}imum: search tasks of one kind at a time"
        )
    trial.begin(folder, task.monitor)
    return [ReportTrial(trial, task.monitor)]


class ReportTrial(Callback):
    """Reports the monitored value after every validated epoch."""

    def __init__(self, trial: "StudyTrial", monitor: str) -> None:
        self.trial, self.monitor, self.validated = trial, monitor, False

    def on_validation_end(self, trainer: Trainer, model: LightningModule) -> None:
        self.validated = True

    def on_train_epoch_end(self, trainer: Trainer, model: LightningModule) -> None:
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None and self.validated:
            self.validated = False
            self.trial.report(float(value), trainer.current_epoch)
