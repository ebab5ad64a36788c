"""The optimizer and the schedule that a config names, checked before training starts."""

import inspect
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from bionets.experiment.errors import UserError
from bionets.experiment.run.instantiate import instantiate_node
from bionets.models.optimization import Schedule
from bionets.tasks import Task

INTERVALS = ("step", "epoch")


def build_optimizer(config: dict[str, Any]) -> "partial[Optimizer]":
    """The optimizer, still to be given its parameters; settings that it refuses are a UserError."""
    factory: partial[Optimizer] = instantiate_node(config["optimizer"])
    try_out(factory)
    return factory


def build_schedule(config: dict[str, Any], task: Task) -> Schedule | None:
    """The schedule, still to be given the optimizer and the number of training steps; settings that it refuses are a
    UserError. ``interval``, and the ``monitor`` and ``mode`` of ``ReduceLROnPlateau``, are ours: without them, that one
    looks at the task's monitored value.
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

    def make(optimizer: Optimizer, steps: int) -> LRScheduler:
        return factory(optimizer, **number_of_steps(factory, steps))

    try:
        make(try_out(instantiate_node(config["optimizer"])), 100)
    except Exception as error:  # as above
        raise UserError(f"schedule refuses its settings: {error}") from error
    return Schedule(make, interval, monitor)


OWN_KEYS = ("interval", "monitor", "mode")


def number_of_steps(schedule: "partial[LRScheduler]", steps: int) -> dict[str, int]:
    """The number of training steps, under the name by which a schedule asks for it, if it does."""
    arguments = inspect.signature(schedule.func).parameters
    if "steps" in arguments:
        return {"steps": steps}
    if "total_steps" in arguments and schedule.keywords.get("total_steps") is schedule.keywords.get("epochs") is None:
        return {"total_steps": steps}
    return {}


def try_out(factory: "partial[Optimizer]", parameters: Iterable[torch.nn.Parameter] | None = None) -> Optimizer:
    """The optimizer of these parameters, or of a small matrix; settings that it refuses are a UserError."""
    try:
        return factory([torch.nn.Parameter(torch.zeros(2, 2))] if parameters is None else parameters)
    except Exception as error:  # whatever a constructor does with settings that it does not expect
        raise UserError(f"the optimizer refuses its settings: {error}") from error
