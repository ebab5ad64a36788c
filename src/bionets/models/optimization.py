"""The optimizer of a model, its groups of parameters, and the schedule of its learning rate."""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, count
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from bionets.models.meters import MetricError

OptimizerFactory = Callable[[Iterable[Any]], Optimizer]
ScheduleFactory = Callable[[Optimizer, int], LRScheduler]


@dataclass(frozen=True)
class Schedule:
    """A schedule of the learning rate.

    Attributes:
        make: called with the optimizer and the number of training steps.
        interval: ``step`` or ``epoch``, after which the learning rate changes; with ``monitor``, after each validation.
        monitor: the logged value for `torch.optim.lr_scheduler.ReduceLROnPlateau`.
    """

    make: ScheduleFactory
    interval: str = "step"
    monitor: str | None = None

    def __call__(self, optimizer: Optimizer, steps: int) -> LRScheduler:
        return self.make(optimizer, steps)


def cosine_schedule(optimizer: Optimizer, steps: int, warmup: float = 0.0, final: float = 0.0) -> LambdaLR:
    """Increase the learning rate linearly from 0 to that of the optimizer over the first share ``warmup`` of all
    ``steps``, then decrease it along half a cosine to the share ``final`` of this rate.

    Args:
        optimizer: the optimizer whose learning rate changes.
        steps: number of training steps.
        warmup: share of the steps in which the learning rate increases.
        final: learning rate at the end, as a share of that of the optimizer.

    Raises:
        ValueError: a share is not between 0 and 1.
    """
    for name, share in (("warmup", warmup), ("final", final)):
        if not 0 <= share <= 1:
            raise ValueError(f"schedule.{name} must lie between 0 and 1, got {share}")
    rising = warmup * steps

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        progress = min(1.0, (step - rising) / max(1.0, steps - rising))
        return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2

    return LambdaLR(optimizer, factor)


def share_of_epochs(trainer: Trainer) -> float:
    """How far a training is at the start of an epoch: 0 in its first epoch, 1 in its last; 0 if it has one epoch or no
    known end."""
    if math.inf in (trainer.num_training_batches, trainer.estimated_stepping_batches):
        return 0.0
    # not trainer.max_epochs, before which trainer.max_steps may end the training
    total, steps_so_far = training_steps(trainer), accumulate(map(partial(steps_in_epoch, trainer), count()))
    last = next(epoch for epoch, steps in enumerate(steps_so_far) if steps >= total)
    return min(1.0, trainer.current_epoch / last) if last > 0 else 0.0


def configure_optimizers(
    module: LightningModule,
    optimizer: OptimizerFactory | None,
    schedule: ScheduleFactory | None,
    parameters: Mapping[str, nn.Parameter] | None = None,
    without_decay: Iterable[str] | None = None,
    one_group: bool = False,
    lr_factors: Mapping[str, float] | None = None,
) -> Any:
    """The optimizer of a module and its schedule, in Lightning's format.

    A weight decay of the optimizer does not apply to the parameters of `names_without_decay`, which are a second group.

    Args:
        module: the module to be trained.
        optimizer: called with parameters, or with groups of parameters.
        schedule: called with the optimizer and the number of training steps; None for a constant learning rate.
        parameters: the parameters to be trained, by name; None for all parameters of the module.
        without_decay: names of the parameters without weight decay; None for `names_without_decay` of the module.
        one_group: whether the weight decay applies to all parameters.
        lr_factors: learning rates of parameters, by name, as multiples of that of the optimizer; None for 1.
    """
    if optimizer is None:
        raise ValueError("a model without an optimizer can be evaluated, not trained: pass optimizer=")
    named = dict(module.named_parameters()) if parameters is None else dict(parameters)
    chosen = optimizer(named.values())
    decays = bool(chosen.defaults.get("weight_decay")) and not one_group
    factors = {name: factor for name, factor in (lr_factors or {}).items() if factor != 1}
    if decays or factors:
        spared = set(names_without_decay(module) if without_decay is None else without_decay) if decays else set()
        groups: dict[tuple[bool, float], dict[str, Any]] = {}
        for name, parameter in named.items():
            key = (name in spared, factors.get(name, 1.0))
            settings = ({"weight_decay": 0.0} if key[0] else {}) | (
                {"lr": chosen.defaults["lr"] * key[1]} if key[1] != 1 else {}
            )
            groups.setdefault(key, {"params": [], **settings})["params"].append(parameter)
        chosen = optimizer([groups[key] for key in sorted(groups)])
    if schedule is None:
        return chosen
    scheduler = schedule(chosen, training_steps(module.trainer))
    scheduling: dict[str, Any] = {"scheduler": scheduler, "interval": getattr(schedule, "interval", "step")}
    if getattr(schedule, "monitor", None) is not None:
        # Lightning would step it after the checkpoint of the epoch is written; `step_plateau_schedules` does so before.
        scheduling |= {"monitor": schedule.monitor, "strict": False, "frequency": sys.maxsize}  # type: ignore[attr-defined]
    return {"optimizer": chosen, "lr_scheduler": scheduling}


def training_steps(trainer: Trainer) -> int:
    """The number of optimizer steps of a training. Lightning's estimate does not know the epochs in which a
    `GradientAccumulationScheduler` accumulates more or fewer batches.
    """
    steps = int(trainer.estimated_stepping_batches)
    schedulers = [each for each in trainer.callbacks if isinstance(each, GradientAccumulationScheduler)]  # type: ignore[attr-defined]
    if not schedulers or trainer.max_epochs in (None, -1):
        return steps
    steps = sum(steps_in_epoch(trainer, epoch) for epoch in range(trainer.max_epochs))
    return steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)


def steps_in_epoch(trainer: Trainer, epoch: int) -> int:
    """The number of optimizer steps in an epoch."""
    batches = trainer.accumulate_grad_batches
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, GradientAccumulationScheduler):
            batches = callback.get_accumulate_grad_batches(epoch)
    return math.ceil(trainer.num_training_batches / batches)


def step_plateau_schedules(trainer: Trainer) -> None:
    """Step the `ReduceLROnPlateau` schedules with the last measured value, if there is one."""
    for config in _plateau_schedules(trainer):
        value = trainer.callback_metrics.get(config.monitor)
        if value is not None:
            config.scheduler.step(value)


def require_monitors(trainer: Trainer) -> None:
    """Raise MetricError if the value of a `ReduceLROnPlateau` schedule is missing at the end of an epoch, where it may
    be measured after the validation. Epochs before the first validation are passed over.
    """
    measured = trainer.callback_metrics
    for config in _plateau_schedules(trainer):
        if config.monitor not in measured and any(name.startswith("val/") for name in measured):
            names = ", ".join(sorted(measured))
            raise MetricError(f"schedule.monitor={config.monitor} is not measured: choose one of {names}")


def _plateau_schedules(trainer: Trainer) -> list[Any]:
    configs = trainer.lr_scheduler_configs if trainer.state.fn == "fit" else ()
    return [config for config in configs if isinstance(config.scheduler, ReduceLROnPlateau)]


def names_without_decay(module: nn.Module) -> list[str]:
    """The names of the parameters without weight decay: parameters with fewer than two dimensions (biases, decays,
    thresholds, gains of a normalisation), and the names in the attribute ``no_weight_decay`` of a layer.
    """
    return [
        f"{prefix}.{name}" if prefix else name
        for prefix, layer in module.named_modules()
        for name, parameter in layer.named_parameters(recurse=False)
        if parameter.ndim < 2 or name in getattr(layer, "no_weight_decay", ())
    ]


def has_one_group(checkpoint: Mapping[str, Any]) -> bool:
    """Whether the optimizer of a checkpoint has one group of parameters, as in runs of earlier versions."""
    return [len(state["param_groups"]) for state in checkpoint.get("optimizer_states", ())] == [1]


def require_optimizer_state(checkpoint: Mapping[str, Any]) -> None:
    """Raise ValueError unless a checkpoint has the state of one optimizer. Without it, Lightning would continue with a
    new optimizer.
    """
    states = checkpoint.get("optimizer_states", ())
    if len(states) != 1 or not isinstance(states[0], Mapping) or "param_groups" not in states[0]:
        raise ValueError("the checkpoint has no state of the optimizer")
