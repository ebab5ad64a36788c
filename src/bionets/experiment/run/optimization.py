"""The optimizer and the schedule of a config, checked before training starts."""

import inspect
import warnings
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from bionets.experiment.errors import UserError
from bionets.experiment.run.instantiate import instantiate_node, naming_options
from bionets.models.optimization import Schedule
from bionets.tasks import Task

INTERVALS = ("step", "epoch")


def build_optimizer(config: dict[str, Any]) -> "partial[Optimizer]":
    """The optimizer of a config as a function of its parameters. Raises UserError for invalid settings."""
    factory: partial[Optimizer] = instantiate_node(config["optimizer"])
    try_out(factory)
    trainer = config["trainer"]
    if config["optimizer"].get("differentiable"):
        raise UserError("optimizer.differentiable=true is for gradients of an optimizer step: leave it out")
    mixed = str(trainer.get("precision")).endswith("-mixed")
    if config["optimizer"].get("fused") and trainer.get("gradient_clip_val") and mixed:
        raise UserError(
            "optimizer.fused=true cannot clip the gradients of mixed precision: leave out optimizer.fused, "
            "trainer.gradient_clip_val or trainer.precision"
        )
    return factory


def build_schedule(config: dict[str, Any], task: Task) -> Schedule | None:
    """The schedule of a config as a function of the optimizer and the number of training steps. Raises UserError for
    invalid settings. ``interval``, and ``monitor`` and ``mode`` of ``ReduceLROnPlateau``, are options of bionets; the
    defaults of the latter two are those of the task.
    """
    node = config.get("schedule")
    if node is None:
        return None
    interval, monitor = node.get("interval", "step"), None
    if interval not in INTERVALS:
        raise UserError(f"schedule.interval={interval} is unknown: choose {' or '.join(INTERVALS)}")
    factory: partial[LRScheduler] = instantiate_node({key: value for key, value in node.items() if key not in OWN_KEYS})
    if factory.func is ReduceLROnPlateau:
        monitor = node.get("monitor") or task.monitor
        factory = partial(factory, mode=node.get("mode") or task.mode)

    if interval == "epoch" and number_of_steps(factory, 1):
        raise UserError("schedule.interval=epoch needs the number of epochs: give schedule.total_steps")

    def make(optimizer: Optimizer, steps: int) -> LRScheduler:
        schedule = factory(optimizer, **number_of_steps(factory, steps), **rates_of_groups(factory, optimizer))
        if interval == "step" and isinstance(schedule, OneCycleLR) and schedule.total_steps < steps:
            raise UserError(
                f"OneCycleLR ends after {schedule.total_steps} steps, and the run has {steps}: leave out "
                "schedule.total_steps, schedule.epochs and schedule.steps_per_epoch"
            )
        return schedule

    optimizer = try_out(instantiate_node(config["optimizer"]))
    with naming_options("schedule", factory.keywords), warnings.catch_warnings(action="ignore"):
        try:
            schedule = factory(optimizer, **number_of_steps(factory, 100))
            if monitor is None:
                schedule.step()
        except Exception as error:  # depends on the constructor
            raise UserError(f"the schedule refuses its settings: {error}") from error
    return Schedule(make, interval, monitor)


OWN_KEYS = ("interval", "monitor", "mode")


def number_of_steps(schedule: "partial[LRScheduler]", steps: int) -> dict[str, int]:
    """The number of training steps as a keyword argument of a schedule; empty if the schedule needs none."""
    arguments = inspect.signature(schedule.func).parameters
    if "steps" in arguments:
        return {"steps": steps}
    if "total_steps" in arguments and schedule.keywords.get("total_steps") is schedule.keywords.get("epochs") is None:
        return {"total_steps": steps}
    return {}


def rates_of_groups(schedule: "partial[LRScheduler]", optimizer: Optimizer) -> dict[str, list[float]]:
    """The ``max_lr`` and ``base_lr`` of a schedule that replaces the learning rates, for each group of parameters, such
    that the groups keep the ratios of their learning rates (``model.positions_lr``).
    """
    lr = optimizer.defaults.get("lr")
    if schedule.func not in (OneCycleLR, CyclicLR) or not lr:
        return {}
    ratios = [float(group["lr"] / lr) for group in optimizer.param_groups]
    rates = {key: schedule.keywords.get(key) for key in ("max_lr", "base_lr")}
    return {key: [rate * ratio for ratio in ratios] for key, rate in rates.items() if isinstance(rate, int | float)}


def try_out(factory: "partial[Optimizer]", parameters: Iterable[torch.nn.Parameter] | None = None) -> Optimizer:
    """Build the optimizer of these parameters, by default of a small matrix. Raises UserError for invalid settings."""
    with naming_options("optimizer", factory.keywords):
        try:
            return factory([torch.nn.Parameter(torch.zeros(2, 2))] if parameters is None else parameters)
        except Exception as error:  # depends on the constructor
            raise UserError(f"the optimizer refuses its settings: {error}") from error
