"""Loss, accuracy and confusion matrix of predicted classes, metrics of predicted bits, and means of any function."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

LARGEST_CONFUSION_MATRIX = 100
"""Number of classes above which a confusion matrix cannot be read."""


def cross_entropy(prediction: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean cross-entropy of scores ``[..., K]`` and classes ``[...]``, weighted by the weights ``[K]`` of the
    classes. If these are all 0, it is 0, not NaN as in torch."""
    prediction, target = in_rows(prediction, target)
    if weights is None:
        return functional.cross_entropy(prediction, target)
    counts = weights[target].any()  # not read by Python, which would wait for the device
    return counts * functional.cross_entropy(prediction, target, torch.where(counts, weights, 1))


class ClassAccuracy(MulticlassAccuracy):
    """The share of classes ``[...]`` with the highest of the scores ``[..., K]``."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, average="micro")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*in_rows(prediction, target))


class ClassConfusion(MulticlassConfusionMatrix):
    """The number of samples of each class (rows) for which each class (columns) has the highest of the scores
    ``[..., K]``."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, validate_args=False)  # `ClassAccuracy` validates the same tensors

    def update(self, prediction: Tensor, target: Tensor) -> None:
        prediction, target = in_rows(prediction, target)
        chosen = prediction.argmax(1)  # as products: torch's deterministic counting would need [M, K²]
        true, predicted = (functional.one_hot(each, self.num_classes).float() for each in (target, chosen))
        self.confmat += (true.T @ predicted).to(self.confmat)


class ConfusionMatrix(NamedTuple):
    """A metric that counts the samples ``[K, K]`` of each true class (rows) and predicted class (columns)."""

    class_names: Sequence[str]
    metric: Metric


def confusion_matrix(classes: int, class_names: Sequence[str] = ()) -> dict[str, ConfusionMatrix]:
    """A new confusion matrix by the name of its figure; none for too many classes.

    Args:
        classes: the number K of classes.
        class_names: their names; empty for their numbers.
    """
    if classes > LARGEST_CONFUSION_MATRIX:
        return {}
    names = class_names or tuple(map(str, range(classes)))
    return {"confusion_matrix": ConfusionMatrix(names, ClassConfusion(classes))}


def in_rows(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scores ``[..., K]`` and classes ``[...]`` as ``[M, K]`` and ``[M]``."""
    last = prediction.dim() - 2
    return prediction.flatten(0, last), target.flatten(0, last)


def right_bits(prediction: Tensor, target: Tensor) -> Tensor:
    """The mask of the correct bits; a positive logit predicts a 1.

    (BinaryAccuracy of torchmetrics treats logits as probabilities if they all are in [0, 1].)
    """
    return (prediction > 0) == (target > 0.5)


def right_sequences(prediction: Tensor, target: Tensor) -> Tensor:
    """The mask of the sequences with all bits correct, for logits ``[T, B, O]``."""
    return right_bits(prediction, target).all(dim=2).all(dim=0)


class MeanOf(MeanMetric):
    """The mean over all batches of the values of ``function(prediction, target)``; NaN if one of them is NaN."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(nan_strategy=math.nan)  # the default leaves out NaN
        self.function = function

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        super().update(self.function(prediction, target))
