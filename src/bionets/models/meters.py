"""The loss and metrics of a task over one pass through a set."""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection


class MetricError(ValueError):
    """A metric refuses what it is given, or is not one number."""


def make_meters(task: Any) -> MetricCollection:
    """The mean loss and all metrics of a task, for one pass over a set."""
    meters = MetricCollection({"loss": MeanMetric()}, compute_groups=False)
    extra = getattr(task, "extra_metrics", {})
    meters.add_metrics({**task.metrics(), **{name: make() for name, make in extra.items()}})
    return meters


def measure(meters: MetricCollection, task: Any, prediction: Tensor, target: Tensor, samples: int) -> None:
    """Add a batch of so many samples, or valid steps, to the meters."""
    loss = task.loss(prediction, target)
    for name, metric in meters.items():
        if name == "loss":
            metric.update(loss, weight=samples)
        else:
            with naming(name):
                metric.update(prediction, target)


def values_of(meters: MetricCollection) -> dict[str, Tensor]:
    """The values of the meters over the batches so far, each one number. Raises MetricError."""
    values: dict[str, Any] = {}
    for name, metric in meters.items():
        with naming(name):
            value = metric.compute()
        values |= value if isinstance(value, dict) else {name: value}
    for name, value in values.items():
        if not (value.numel() == 1 if isinstance(value, Tensor) else isinstance(value, Real)):
            found = f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise MetricError(f"the metric {name} must be one number, got {found}: take its mean, or one part of it")
    return values


@contextmanager
def naming(metric: str) -> Iterator[None]:
    """Name the metric with whatever error it raises, but for a lack of memory."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of code that we do not know
        raise MetricError(f"the metric {metric} fails: {type(error).__name__}: {error}") from error
