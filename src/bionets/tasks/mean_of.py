"""Metrics that are the mean of a function of prediction and target."""

from collections.abc import Callable

from torch import Tensor
from torchmetrics import MeanMetric


class MeanOf(MeanMetric):
    """The mean over all batches of the values of ``function(prediction, target)``."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        super().update(self.function(prediction, target))
