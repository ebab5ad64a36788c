"""The values of meters, and their names."""

import torch
from torchmetrics import MeanMetric, MetricCollection, MinMaxMetric

from bionets.models.meters import values_of


def test_the_numbers_of_a_metric_keep_their_names_unless_two_have_the_same() -> None:
    metrics = {"loss": MeanMetric(), "one": MinMaxMetric(MeanMetric())}
    for more in ({}, {"two": MinMaxMetric(MeanMetric())}):
        meters = MetricCollection({**metrics, **more}, compute_groups=False)
        meters.update(torch.tensor([1.0, 3.0]))
        found = {name: float(value) for name, value in values_of(meters).items()}
        parts = [f"{name}_{part}" if more else part for name in ("one", *more) for part in ("raw", "min", "max")]
        assert found == dict.fromkeys(["loss", *parts], 2.0)
