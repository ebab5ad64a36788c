"""Metrics of predicted bits."""

import torch
from torch import Tensor
from torchmetrics import Metric


class BitAccuracy(Metric):
    """The share of bits that are right; a positive logit predicts a 1.

    (torchmetrics' own BinaryAccuracy takes logits that happen to lie within [0, 1] for probabilities.)
    """

    correct: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("correct", default=torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", default=torch.tensor(0), dist_reduce_fx="sum")

    def right(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The unit that is counted as right or wrong: each bit of ``[T, B, O]`` logits."""
        return (prediction > 0) == (target > 0.5)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        right = self.right(prediction, target)
        self.correct += right.sum()
        self.total += right.numel()

    def compute(self) -> Tensor:
        return self.correct / self.total


class SequenceAccuracy(BitAccuracy):
    """The share of sequences of which every bit is right."""

    def right(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Each of the B sequences of ``[T, B, O]`` logits."""
        return super().right(prediction, target).all(dim=2).all(dim=0)
