"""The targets of one network, with loss and metrics; each of several has a name and its part of the prediction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric
from torchmetrics.wrappers import LambdaInputTransformer

from .metrics import ClassAccuracy, ConfusionMatrix, confusion_matrix, cross_entropy
from .prediction_columns import Columns, class_columns, number_columns, with_suffix
from .spec import UNLABELLED


class PrecisionError(ValueError):
    """The dtype of the targets cannot represent all classes."""


@dataclass(frozen=True)
class Target:
    """The only target of a network.

    classes: number of classes; 0 for numeric targets.
    class_names: names of the classes; empty for their numbers.
    """

    classes: int
    class_names: Sequence[str]

    def loss(self, prediction: Tensor, target: Tensor, class_weights: Tensor | None = None) -> Tensor:
        """Cross-entropy for classes, otherwise the mean squared error."""
        if self.classes:
            return cross_entropy(prediction, target, class_weights)
        return functional.mse_loss(prediction, target)

    def metrics(self) -> dict[str, Metric]:
        """``accuracy`` for classes, otherwise ``mse`` and ``mae``."""
        if self.classes:
            return {"accuracy": ClassAccuracy(self.classes)}
        return {"mse": MeanSquaredError(), "mae": MeanAbsoluteError()}

    def confusion_matrix(self) -> dict[str, ConfusionMatrix]:
        """``confusion_matrix`` if the target is a class."""
        return confusion_matrix(self.classes, self.class_names) if self.classes else {}

    def columns_of(self, prediction: Tensor, target: Tensor) -> Columns:
        """The columns of a table of predictions."""
        if self.classes:
            return class_columns(prediction, target, self.class_names)
        return number_columns(prediction, target)


@dataclass(frozen=True)
class Head(Target):
    """One of several targets: it takes the predictions and targets of all, and its metrics and columns have its name.

    outputs: slice of the last dimension of the prediction.
    columns: slice of the last dimension of the target.
    weight: weight of the loss.
    """

    name: str
    outputs: slice
    columns: slice
    weight: float

    def loss(self, prediction: Tensor, target: Tensor, class_weights: Tensor | None = None) -> Tensor:
        return self.weight * super().loss(self.own_outputs(prediction), self.own_target(target), class_weights)

    def metrics(self) -> dict[str, Metric]:
        return {f"{self.name}_{kind}": self.of_all(metric) for kind, metric in super().metrics().items()}

    def confusion_matrix(self) -> dict[str, ConfusionMatrix]:
        found = super().confusion_matrix().items()
        return {f"{key}_{self.name}": ConfusionMatrix(names, self.of_all(metric)) for key, (names, metric) in found}

    def columns_of(self, prediction: Tensor, target: Tensor) -> Columns:
        return with_suffix(super().columns_of(self.own_outputs(prediction), self.own_target(target)), self.name)

    def own_outputs(self, prediction: Tensor) -> Tensor:
        """The part of this head in a prediction ``[..., outputs]`` of all heads."""
        return prediction[..., self.outputs].contiguous()

    def own_target(self, target: Tensor) -> Tensor:
        """The part of this head in a target ``[..., columns]`` of all heads.

        Raises:
            PrecisionError: the dtype of the target cannot represent all classes, as bfloat16 for more than 257.
        """
        if self.classes - 1 > 2 / torch.finfo(target.dtype).eps:
            raise PrecisionError(
                f"the {self.classes} classes of {self.name} cannot be numbered in {str(target.dtype)[6:]}: choose "
                "another trainer.precision, such as bf16-mixed"
            )
        target = target[..., self.columns].contiguous()
        return target[..., 0].long() if self.classes else target

    def of_all(self, metric: Metric) -> Metric:
        """A metric of this head that takes the predictions and targets of all heads."""
        return LambdaInputTransformer(metric, self.own_outputs, self.own_target)


def join_heads(
    names: Sequence[str],
    targets: Sequence[Tensor],
    classes: Sequence[int],
    class_names: Sequence[Sequence[str]],
    weights: Sequence[float] | None,
) -> tuple[list[Head], Tensor]:
    """The heads, and their targets concatenated to one float tensor ``[N, ..., columns]``.

    Args:
        names: names of the targets.
        targets: class numbers ``[N, ...]``, or numbers ``[N, ..., O]``, for each target. -100 and NaN mark a step
            without labels, which is NaN in the result.
        classes, class_names: those of each `Target`.
        weights: weights of the losses; None: all 1.

    Raises:
        ValueError: a name has a dot, the weights are wrong, only some of the targets have a value at every step, or a
            step has a label of only some targets.
    """
    weights = [1.0] * len(names) if weights is None else [float(weight) for weight in weights]
    if dotted := [name for name in names if "." in name]:
        raise ValueError(f"task.targets: rename {dotted[0]}: PyTorch allows no dot in the name of a metric")
    if len(weights) != len(names) or not all(0 <= weight < math.inf for weight in weights):
        raise ValueError(f"task.target_weights must be {len(names)} numbers of at least 0, got {weights}")
    heads, parts, output, column = [], [], 0, 0
    for name, target, count, own_names, weight in zip(names, targets, classes, class_names, weights, strict=True):
        part = target.float()
        if count:
            part = part.masked_fill(target == UNLABELLED, torch.nan).unsqueeze(-1)
        width, size = part.shape[-1], count or part.shape[-1]
        own = slice(output, output + size), slice(column, column + width)
        heads.append(Head(count, own_names, name, *own, weight))
        parts.append(part)
        output, column = output + size, column + width
    if len({part.shape[:-1] for part in parts}) > 1:
        raise ValueError("task.targets: all targets must be for whole sequences, or all for every step")
    y = torch.cat(parts, -1)
    if bool((partly := y.isnan().any(-1) & ~y.isnan().all(-1)).any()):
        sample, step = partly.nonzero()[0].tolist()
        raise ValueError(
            f"task.targets: step {step} of sample {sample} has a label of only some of the targets {', '.join(names)}: "
            "give all, or none"
        )
    return heads, y
