"""Metrics of predicted bits."""

from torch import Tensor
from torchmetrics import MeanMetric


def right_bits(prediction: Tensor, target: Tensor) -> Tensor:
    """The mask of the correct bits; a positive logit predicts a 1.

    (BinaryAccuracy of torchmetrics treats logits as probabilities if they all are in [0, 1].)
    """
    return (prediction > 0) == (target > 0.5)


class BitAccuracy(MeanMetric):
    """The share of correct bits."""

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        super().update(right_bits(prediction, target).float())


class SequenceAccuracy(MeanMetric):
    """The share of sequences with all bits correct, for logits ``[T, B, O]``."""

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        super().update(right_bits(prediction, target).all(dim=2).all(dim=0).float())
