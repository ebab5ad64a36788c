"""The loss and metrics of a task over one pass over a data set."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection

from bionets.layers.precision import at_least_float32


class MetricError(ValueError):
    """A metric raises an error for its arguments, is not a scalar, or is not measured."""


def make_meters(task: Any) -> MetricCollection:
    """The mean loss and all metrics of a task, for one pass over a data set. The mean is NaN if a loss is NaN."""
    mean = MeanMetric(nan_strategy=math.nan)  # the default leaves out NaN
    meters = MetricCollection({"loss": mean}, compute_groups=False)
    extra = getattr(task, "extra_metrics", {})
    meters.add_metrics({**task.metrics(), **{name: make() for name, make in extra.items()}})
    return meters


def measure(meters: MetricCollection, task: Any, prediction: Tensor, target: Tensor) -> None:
    """Add the answers of a batch to the meters, if there are any. Metrics get half precision as float32, because a
    sum over a batch overflows in float16 and is rounded in bfloat16."""
    if not len(target):
        return
    loss = task.loss(prediction, target)
    prediction, target = (at_least_float32(x) if x.is_floating_point() else x for x in (prediction, target))
    for name, metric in meters.items():
        if name == "loss":
            if weight := task.scored_steps(target):  # the mean over no answers is NaN
                metric.update(loss, weight=weight)
        else:
            with naming(name):
                metric.update(prediction, target)


def values_of(meters: MetricCollection) -> dict[str, Tensor]:
    """The values of the meters over all batches so far, as scalars. Raises MetricError.

    If a metric has several values, they keep their names; if two names are equal, the name of the metric is prepended.
    """
    computed: dict[str, dict[str, Any]] = {}
    for name, metric in meters.items():
        with naming(name):
            value = metric.compute()
        computed[name] = value if isinstance(value, dict) else {name: value}
    names = Counter(chain.from_iterable(computed.values()))
    values = {
        part if names[part] == 1 or part == name else f"{name}_{part}": value
        for name, parts in computed.items()
        for part, value in parts.items()
    }
    for name, value in values.items():
        if not (value.numel() == 1 if isinstance(value, Tensor) else isinstance(value, Real)):
            found = f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise MetricError(f"the metric {name} must be one number, got {found}: take its mean, or one part of it")
    return values


@contextmanager
def naming(metric: str) -> Iterator[None]:
    """Add the name of the metric to any error that it raises, except out-of-memory errors."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # the code of a metric may raise any error
        raise MetricError(f"the metric {metric} fails: {type(error).__name__}: {error}") from error
