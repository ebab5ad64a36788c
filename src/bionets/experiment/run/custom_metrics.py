"""User-defined metrics by import path: ``metrics=[my_module.my_metric]``."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric

from bionets.experiment.errors import UserError
from bionets.import_path import import_object
from bionets.tasks import Task, TaskSpec


class SampleMean(MeanMetric):
    """The mean over samples, or valid steps, of a function of the prediction and target of a batch; of a function that
    returns several numbers, such as one for each sample, their mean counts. NaN if a value is NaN."""

    def __init__(self, function: Callable[[Tensor, Tensor], Any], spec: TaskSpec) -> None:
        super().__init__(nan_strategy=math.nan)  # the default leaves out NaN
        self.function, self.spec = function, spec

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        value = torch.as_tensor(self.function(prediction, target), dtype=torch.float32).mean()
        super().update(value, weight=self.spec.answers_in(target))


def add_metrics(task: Task, paths: Sequence[str]) -> None:
    """Add metrics to a task: classes derived from `torchmetrics.Metric` that need no arguments, or functions of
    prediction and target, which are averaged over samples. Each has the name of its class or function.

    Raises:
        UserError: a path cannot be imported or is not a metric, or the task already has a metric of this name.
    """
    for path in paths:
        try:
            found = import_object(path)
        except ValueError as error:
            raise UserError(f"metrics={path} cannot be imported ({error}): write it as my_module.my_metric") from error
        name = path.rpartition(".")[2]
        if name == "loss" or name in task.metrics() or name in task.extra_metrics:
            raise UserError(f"metrics={path}: the task has a metric {name} already: give it another name")
        task.extra_metrics = {**task.extra_metrics, name: factory(found, path, task)}


def factory(found: Any, path: str, task: Task) -> Callable[[], Metric]:
    """A function that makes a new metric."""
    if not isinstance(found, type) and callable(found):
        return partial(SampleMean, found, task.spec)
    if not isinstance(found, type) or not issubclass(found, Metric):
        raise UserError(f"metrics={path} is neither a function nor a torchmetrics.Metric")
    try:
        found()
    except Exception as error:  # depends on the constructor
        raise UserError(f"metrics={path} cannot be built without arguments ({' '.join(str(error).split())})") from error
    return found


def headlines(task: Task, test_results: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The headline numbers of a test: those of the task, and the mean of each additional metric, or of each value of
    one with several values, over the test sets.
    """
    metrics = task.summarise(test_results)
    if task.extra_metrics:
        known = ("loss", *task.metrics())
        for name in (name for name in next(iter(test_results.values())) if name not in known):
            metrics[f"test/{name}"] = fmean(results[name] for results in test_results.values() if name in results)
    return metrics
