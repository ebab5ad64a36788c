"""``find=lr`` and ``find=batch_size``: searches for a value, which train no run."""

import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.tuner.tuning import Tuner

from bionets.analysis.figures import Floats, draw_learning_rates, moving_average
from bionets.experiment.config.resolve import RunConfig
from bionets.experiment.console import print_line
from bionets.experiment.errors import UserError
from bionets.experiment.interrupts import keyboard_interrupts
from bionets.experiment.run.build import bare_trainer, build_run, refuse_for_optimizer
from bionets.experiment.run.data import prepare_data
from bionets.experiment.run.report import command_of, figure_title
from bionets.models import Model
from bionets.tasks import Task

KEYS = {"lr": "optimizer.lr", "batch_size": "task.batch_size"}
STEPS, LOWEST, HIGHEST = 200, 1e-6, 1.0  # of the learning rate
WINDOW, TOO_HIGH = 15, 4.0  # batches of a moving average; loss that ends the search, relative to the first ones
LARGEST = 8192  # batch size


def find(run: RunConfig, wanted: str, seeds: int = 1) -> dict[str, float]:
    """Search a learning rate (``lr``) or a ``batch_size`` for a run, and print the command that trains with it, for
    this number of ``seeds``. Only the figure of the learning rate is written.

    Raises:
        UserError: ``wanted`` is neither, or the model learns without an optimizer.
    """
    if wanted not in KEYS:
        raise UserError(f"find={wanted} is unknown: choose find=lr or find=batch_size")
    task, model, run = build_run(run)
    if not model.automatic_optimization:
        raise UserError(f"model={run.values['model']['name']} learns without an optimizer: leave out find={wanted}")
    prepare_data(task)
    endless = {"max_epochs": -1, "min_epochs": None, "max_steps": STEPS, "min_steps": None, "max_time": None}
    alone = {"limit_val_batches": 0, "val_check_interval": None, "fast_dev_run": None, "profiler": None}
    folder, test = mkdtemp(prefix="bionets-"), RangeTest()
    try:
        trainer = bare_trainer(
            {**run.values["trainer"], **endless, **alone},
            callbacks=[test] if wanted == "lr" else [],
            logger=False,
            reload_dataloaders_every_n_epochs=1,
            default_root_dir=folder,
        )
        if trainer.world_size > 1:
            raise UserError(f"find={wanted} works in one process: add trainer.devices=1")
        refuse_for_optimizer(trainer, model)
        with keyboard_interrupts():
            if wanted == "lr":
                value: float = find_learning_rate(trainer, test, model, task)
            else:
                value = find_batch_size(trainer, model, task)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    word = f"{KEYS[wanted]}={value:.3g}" if wanted == "lr" else f"{KEYS[wanted]}={value}"
    words = [word for word in run.overrides if not word.startswith(f"{KEYS[wanted]}=")]
    words += [f"seeds={seeds}"] if seeds > 1 else []
    print_line(f" found  {word}")
    print_line(f" train  {command_of([*words, word])}")
    if wanted == "lr":
        print_line(f"figure  {draw_search(run.values, test, value)}")
    return {KEYS[wanted]: value}


class RangeTest(Callback):
    """Increases the learning rate exponentially from step to step and stores the loss of each batch; ends once the loss
    is `TOO_HIGH` times the mean of the first losses.
    """

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        for optimizer in trainer.optimizers:  # the groups of parameters keep the ratios of their learning rates
            for group in optimizer.param_groups:
                group["factor"] = group["lr"] / lr if (lr := optimizer.defaults.get("lr")) else 1.0

    def on_train_batch_start(self, trainer: Trainer, model: LightningModule, batch: Any, batch_index: int) -> None:
        self.rates.append(LOWEST * (HIGHEST / LOWEST) ** (trainer.global_step / (STEPS - 1)))
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.rates[-1] * group["factor"]

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        self.losses.append(float(outputs["loss"]) * trainer.accumulate_grad_batches)
        start = sum(self.losses[:WINDOW]) / len(self.losses[:WINDOW])
        if not self.losses[-1] < start + (TOO_HIGH - 1) * (abs(start) or 1.0):  # NaN too; a loss may be negative
            trainer.should_stop = True

    def curve(self) -> tuple[Floats, Floats]:
        """Moving averages of the rates and the losses; empty if there are too few."""
        if len(self.losses) < WINDOW:
            return np.empty(0), np.empty(0)
        return moving_average(self.rates[: len(self.losses)], WINDOW), moving_average(self.losses, WINDOW)


def find_learning_rate(trainer: Trainer, test: RangeTest, model: Model, task: Task) -> float:
    """A tenth of the learning rate at which the training loss is lowest while the rate increases from step to step
    (Smith, WACV 2017). Raises UserError if the loss never falls.
    """
    model.schedule = None
    trainer.fit(model, datamodule=task)
    rates, losses = test.curve()
    lowest = int(np.nanargmin(losses)) if np.isfinite(losses).any() else 0
    if lowest == 0:
        raise UserError("find=lr has found no learning rate at which the loss falls: try a larger task.batch_size")
    return float(rates[lowest]) / 10


def find_batch_size(trainer: Trainer, model: Model, task: Task) -> int:
    """The largest power of two that fits into the memory of the device, at most the training set (Lightning)."""
    size = Tuner(trainer).scale_batch_size(model, datamodule=task, init_val=2, max_val=LARGEST)
    return min(size or task.batch_size, task.train_size)


def draw_search(config: dict[str, Any], test: RangeTest, found: float) -> Path:
    """Draw the search for the learning rate, in the folder of the runs of the same task and model."""
    folder = Path(config["paths"]["output_dir"]) / config["task"]["name"] / config["model"]["name"]
    return draw_learning_rates(folder / "learning_rate.png", figure_title(config), *test.curve(), found)
