"""The loss and metrics of a task over one pass through a set."""

from typing import Any

from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection


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
            metric.update(prediction, target)
