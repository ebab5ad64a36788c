"""Metrics of predicted bits."""

from torch import Tensor


def right_bits(prediction: Tensor, target: Tensor) -> Tensor:
    """The mask of the correct bits; a positive logit predicts a 1.

    (BinaryAccuracy of torchmetrics treats logits as probabilities if they all are in [0, 1].)
    """
    return (prediction > 0) == (target > 0.5)


def right_sequences(prediction: Tensor, target: Tensor) -> Tensor:
    """The mask of the sequences with all bits correct, for logits ``[T, B, O]``."""
    return right_bits(prediction, target).all(dim=2).all(dim=0)
