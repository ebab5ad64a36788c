"""Loss and accuracy of predicted classes, and metrics of predicted bits."""

from torch import Tensor
from torch.nn import functional
from torchmetrics.classification import MulticlassAccuracy


def cross_entropy(prediction: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean cross-entropy of scores ``[..., K]`` and classes ``[...]``, weighted by the weights ``[K]`` of the
    classes. If these are all 0, it is 0, not NaN as in torch."""
    prediction, target = in_rows(prediction, target)
    if weights is not None and not bool(weights[target].any()):
        return 0 * prediction.sum()
    return functional.cross_entropy(prediction, target, weights)


class ClassAccuracy(MulticlassAccuracy):
    """The share of classes ``[...]`` with the highest of the scores ``[..., K]``."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, average="micro")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*in_rows(prediction, target))


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
