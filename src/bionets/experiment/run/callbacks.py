"""Callbacks of the training loop: seeding, the metrics file, the check for finite losses, early stopping, figures."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor

from bionets.experiment.errors import UserError
from bionets.experiment.run.metrics_file import Extent, Row, append, keep_epochs_before, require_beginning, summary
from bionets.models.model import Model
from bionets.models.weighting import share_of_step

CHECK_EVERY = 50  # steps; a check on every step would make the CPU wait for the GPU


class NonFiniteLoss(UserError):
    """The loss became NaN or infinite."""


class BeginNextEpoch(Callback):
    """Makes a resumed run with ``trainer.max_steps`` start with the epoch after that of its checkpoint.

    Without ``max_steps`` Lightning does so itself. With it, Lightning takes every checkpoint for one from the middle of
    an epoch, and would end the last epoch once more and count the epochs wrongly. These attributes of the loops are not
    documented; if they are renamed, a resumed run ends with an AttributeError.
    """

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        loop = trainer.fit_loop
        if loop.restarted_on_epoch_end:
            loop._restarting = loop.epoch_loop.restarting = False
            loop.update_restart_stage()
            loop.epoch_progress.increment_completed()


class SeedEachEpoch(Callback):
    """Seeds all random numbers of an epoch (as of dropout) by the seed and the epoch, so that a resumed run draws the
    same ones; and those of a test (as of spikes) by the seed, so that every test of a model has the same result.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, model: LightningModule) -> None:
        self._seed(trainer, self.seed * 1_000_003 + trainer.current_epoch)

    def on_test_start(self, trainer: Trainer, model: LightningModule) -> None:
        self._seed(trainer, self.seed)

    def _seed(self, trainer: Trainer, seed: int) -> None:
        # Each process has another seed: with the same one, dropout would not be independent between their samples.
        seed_everything((seed + trainer.global_rank * 998_244_353) % 2**32, workers=True, verbose=False)


class Record(Callback):
    """Writes ``metrics.csv`` (one row per value: step, epoch, name, value), and stops the run if a loss is not finite.

    Steps are optimizer steps, counted from 0. ``train/loss`` of a step is the mean over all of its samples: those of
    all processes, and of all batches whose gradients are accumulated. The metrics of a validation are recorded at the
    step before it.

    The rows of an epoch are written before its checkpoint. A resumed run removes the rows of epochs after its
    checkpoint, so that it writes the same file as an uninterrupted run.
    """

    def __init__(self, file: Path, last_checkpoint: Path) -> None:
        self.file, self.last_checkpoint = file, last_checkpoint
        self.restored = self.seconds_before = self.started = self.ended = 0.0
        self.extent: Extent | None = None  # of the file
        self.latest: Tensor | None = None
        self._begin_epoch(0)

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.total_seconds, "metrics": self.extent.state() if self.extent else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # Also called when the best epoch, which may be an earlier one, is loaded to be tested.
        self.restored = max(self.restored, state["seconds"])
        if state.get("metrics") is not None:
            require_beginning(self.file, state["metrics"])

    @property
    def total_seconds(self) -> float:
        """Training time, summed over all starts of the run."""
        if not self.started:  # resumed after the end of training
            return self.restored
        return self.seconds_before + (self.ended or time.monotonic()) - self.started

    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        self.ended = time.monotonic()

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        self.seconds_before, self.started, self.ended = self.restored, time.monotonic(), 0.0
        if trainer.is_global_zero:
            self.extent = keep_epochs_before(self.file, trainer.current_epoch)

    def on_train_epoch_start(self, trainer: Trainer, model: LightningModule) -> None:
        self._begin_epoch(trainer.global_step)

    def _begin_epoch(self, step: int) -> None:
        self.step = step  # of the next batch
        self.steps: list[int] = []  # of each batch of the epoch
        self.losses: list[float] = []  # of each batch that has been checked, the mean over this process's samples
        self.shares: list[float] = []  # of this process's samples in those of the step
        self.unchecked = 0  # number of batches since, whose losses are at the beginning of `latest`
        self.measured: list[tuple[int, dict[str, float]]] = []  # step and values of each validation

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        self.steps.append(self.step)
        # Lightning has divided the loss by the number of batches that it accumulates.
        loss = outputs["loss"].detach() * trainer.accumulate_grad_batches
        # Not a list of tensors: small tensors in use would split the large free blocks that keep_large_buffers keeps.
        if self.latest is None or (self.unchecked == 0 and self.latest.device != loss.device):
            self.latest = loss.new_empty(CHECK_EVERY)
        self.latest[self.unchecked] = loss
        self.unchecked += 1
        self.shares.append(share_of_step(trainer, batch_index))
        self.step = trainer.global_step
        if self.unchecked == CHECK_EVERY:
            self._check_losses(trainer)

    def on_validation_start(self, trainer: Trainer, model: LightningModule) -> None:
        self._check_losses(trainer)  # before the metrics, which may raise another error for NaN

    def on_validation_end(self, trainer: Trainer, model: LightningModule) -> None:
        step = trainer.global_step - 1
        values = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        if not math.isfinite(values.get("val/loss", 0.0)):
            raise self._not_finite(trainer, "validation loss", values["val/loss"], step)
        if step >= 0:  # not before the first step, while gradients are accumulated
            self.measured.append((step, values))

    def on_train_epoch_end(self, trainer: Trainer, model: LightningModule) -> None:
        self._check_losses(trainer)
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        epoch = trainer.current_epoch
        losses = self._losses_of_steps(trainer)
        rows = [Row(step, epoch, "train/loss", value) for step, value in losses.items() if step % every == 0]
        rows += [Row(step, epoch, name, value) for step, values in self.measured for name, value in values.items()]
        if trainer.is_global_zero:
            self.extent = append(self.file, rows, self.extent)
        for logger in trainer.loggers if rows else ():
            logger.log_metrics(*summary(rows))

    def _losses_of_steps(self, trainer: Trainer) -> dict[int, float]:
        """The mean loss over the samples of each optimizer step of the epoch."""
        if not self.losses:
            return {}
        parts = torch.tensor(self.losses, dtype=torch.float64) * torch.tensor(self.shares, dtype=torch.float64)
        if trainer.world_size > 1:
            parts = trainer.strategy.reduce(parts.to(trainer.strategy.root_device), reduce_op="sum").cpu()
        losses: dict[int, float] = {}
        for step, part in zip(self.steps, parts.tolist(), strict=True):
            losses[step] = losses.get(step, 0.0) + part
        return losses

    def _check_losses(self, trainer: Trainer) -> None:
        new = [] if self.latest is None else self.latest[: self.unchecked].tolist()
        steps = self.steps[len(self.losses) :]
        self.losses += new
        self.unchecked = 0
        finite = all(map(math.isfinite, new))
        if trainer.strategy.reduce_boolean_decision(finite, all=True):
            return
        # The loss of this process; if that of another process is not finite, its step is among these too.
        found = ((step, loss) for step, loss in zip(steps, new, strict=True) if not math.isfinite(loss))
        step, loss = next(found, (steps[0], math.nan))
        raise self._not_finite(trainer, "loss", loss, step)

    def _not_finite(self, trainer: Trainer, what: str, value: float, step: int) -> NonFiniteLoss:
        last = self.last_checkpoint
        kept = f"the last good checkpoint is {last}" if last.exists() else "there is no checkpoint yet"
        return NonFiniteLoss(
            f"the {what} became {value} at step {step} (epoch {trainer.current_epoch}); {kept}; "
            "try a smaller optimizer.lr or trainer.gradient_clip_val=1"
        )


class StopBelow(Callback):
    """Ends training, and that of a resumed run, once the monitored value was better than a threshold."""

    def __init__(self, monitor: str, mode: str, threshold: float) -> None:
        self.monitor, self.mode, self.threshold = monitor, mode, threshold
        self.reached = False

    def state_dict(self) -> dict[str, Any]:
        return {"reached": self.reached}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.reached = bool(state["reached"])

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.reached

    def on_train_epoch_end(self, trainer: Trainer, model: LightningModule) -> None:
        value = trainer.callback_metrics.get(self.monitor)
        if value is not None:
            better = bool(value < self.threshold if self.mode == "min" else value > self.threshold)
            self.reached = self.reached or better  # once is enough, even if min_epochs requires more epochs
        trainer.should_stop = trainer.should_stop or self.reached


class StopAfter(Callback):
    """Ends training after ``patience`` consecutive validations without a better monitored value than before."""

    def __init__(self, monitor: str, mode: str, patience: int) -> None:
        self.monitor, self.sign, self.patience = monitor, 1 if mode == "min" else -1, patience
        self.best, self.waited = math.inf, 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited = float(state["best"]), int(state["waited"])

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        self._stop(trainer)

    def on_validation_end(self, trainer: Trainer, model: LightningModule) -> None:
        if self.monitor not in trainer.callback_metrics:  # the callback of the best epoch says so
            return
        value = self.sign * float(trainer.callback_metrics[self.monitor])
        if self.waited < self.patience:  # once is enough, even if min_epochs requires more epochs
            self.best, self.waited = (value, 0) if value < self.best else (self.best, self.waited + 1)

    def on_train_epoch_end(self, trainer: Trainer, model: LightningModule) -> None:
        self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        trainer.should_stop = trainer.should_stop or self.waited >= self.patience


class RememberStop(Callback):
    """Stores whether another callback has ended training, so that a resumed run is not trained further."""

    def __init__(self) -> None:
        self.stopped = False
        self.trainer: Trainer | None = None

    def state_dict(self) -> dict[str, Any]:
        # Of the time when a checkpoint is written: Lightning calls its own EarlyStopping after all other callbacks.
        return {"stopped": self.stopped if self.trainer is None else self.trainer.should_stop}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.stopped = bool(state["stopped"])

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        self.trainer = trainer
        trainer.should_stop = trainer.should_stop or self.stopped


class Figures(Callback):
    """Figures of your own at the end of a run: a subclass, named in ``callbacks.extra``, implements `draw`."""

    def draw(self, directory: Path, title: str, model: Model, x: Tensor) -> None:
        """Write png files with figures of the trained model, or of its response to x, the first test batch.

        Args:
            directory: the run's folder for figures.
            title: the title of the run.
            model: the trained model in evaluation mode.
            x: on the device of the model, with the shape of the task's spec.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement draw")
