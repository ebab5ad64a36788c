"""Metrics of predicted bits."""

from torch import Tensor
from torchmetrics import MeanMetric


def right_bits(prediction: Tensor, target: Tensor) -> Tensor:
    """The mask of the bits that are right; a positive logit predicts a 1.

    (torchmetrics' own BinaryAccuracy takes logits that happen to lie within [0, 1] for probabilities.)
    """
    return (prediction > 0) == (target > 0.5)


class BitAccuracy(MeanMetric):
    """The share of bits that are right."""

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        super().update(right_bits(prediction, target).float())


class SequenceAccuracy(MeanMetric):
    """The share of sequences, of logits ``[T, B, O]``, of which every bit is right."""

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        super().update(right_bits(prediction, target).all(dim=2).all(dim=0).float())
