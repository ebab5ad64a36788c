"""Progress of training: a bar in a terminal; lines in a log file, in a notebook, or in a terminal of several jobs."""

import os
import time
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bionets.experiment.console import print_line
from bionets.experiment.run.process import JOB_VARIABLE
from bionets.models.optimization import training_steps

SECONDS_BETWEEN_LINES = 15.0


class ProgressBar(Callback):
    """Progress bar with the epoch, the monitored value, steps, steps per second and the remaining time."""

    def __init__(self, monitor: str, console: Console | None = None) -> None:
        self.monitor = monitor
        self.console = console or Console(markup=False)
        self.job_name = os.environ.get(JOB_VARIABLE)
        self.bar: Progress | None = None

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self.total = training_steps(trainer)
        self.first_step, self.started, self.last_line = trainer.global_step, time.monotonic(), time.monotonic()
        self.value = ""
        # Bars of several jobs would overwrite each other. A notebook stores every frame of a bar; it runs commands
        # after "!" in a terminal, which only the variable of its kernel distinguishes from the user's.
        if self.console.is_terminal and self.job_name is None and "JPY_PARENT_PID" not in os.environ:
            self.bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("steps, {task.fields[speed]},", markup=False),
                TimeRemainingColumn(),
                TextColumn("left", markup=False),
                console=self.console,
            )
            self.bar.start()
            self.job = self.bar.add_task("", total=self.total, completed=trainer.global_step, speed="-/s")

    def on_train_epoch_start(self, trainer: Trainer, model: LightningModule) -> None:
        if self.bar is not None:
            self.bar.update(self.job, description=self._epoch(trainer))

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        if self.bar is not None:
            self.bar.update(self.job, completed=trainer.global_step, speed=self._speed(trainer))

    def on_train_epoch_end(self, trainer: Trainer, model: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None:
            self.value = f"  {self.monitor} {float(value):.4f}"
        description = self._epoch(trainer)
        now = time.monotonic()
        if self.bar is not None:
            self.bar.update(self.job, description=description)
        elif now - self.last_line > SECONDS_BETWEEN_LINES:
            self.last_line = now
            left = (now - self.started) / (trainer.global_step - self.first_step) * (self.total - trainer.global_step)
            name = f"{self.job_name}: " if self.job_name else ""
            steps = f"step {trainer.global_step}/{self.total}, {self._speed(trainer)}"
            line = f"{name}{description}  {steps}  {left:.0f} s left"
            print_line(line)

    def _epoch(self, trainer: Trainer) -> str:
        """The current epoch, and the monitored value of the last one that was validated."""
        return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}{self.value}"

    def _speed(self, trainer: Trainer) -> str:
        """Steps per second since training started, validation included."""
        speed = (trainer.global_step - self.first_step) / max(time.monotonic() - self.started, 1e-9)
        return f"{speed:.{0 if speed >= 100 else 1}f}/s"

    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: Trainer, model: LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
