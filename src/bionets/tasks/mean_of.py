"""Metrics that are the mean of a function of prediction and target."""

import math
from collections.abc import Callable

from torch import Tensor
from torchmetrics import MeanMetric


class MeanOf(MeanMetric):
    """The mean over all batches of the values of ``function(prediction, target)``; NaN if one of them is NaN."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(nan_strategy=math.nan)  # the default leaves out NaN
        self.function = function

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        super().update(self.function(prediction, target))
