"""Several named targets for one network: each has its part of the prediction, its loss and its metrics."""

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
class Head:
    """One target.

    name: name of the target.
    classes: number of classes; 0 for numeric targets.
    outputs: slice of the last dimension of the prediction.
    columns: slice of the last dimension of the target.
    weight: weight of the loss.
    """

    name: str
    classes: int
    outputs: slice
    columns: slice
    weight: float

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy for classes, otherwise the mean squared error."""
        prediction, target = self.own_outputs(prediction), self.own_target(target)
        if self.classes:
            return cross_entropy(prediction, target)
        return functional.mse_loss(prediction, target)

    def metrics(self) -> dict[str, Metric]:
        """``<name>_accuracy`` for classes, otherwise ``<name>_mse`` and ``<name>_mae``."""
        if self.classes:
            kinds: dict[str, Metric] = {"accuracy": ClassAccuracy(self.classes)}
        else:
            kinds = {"mse": MeanSquaredError(), "mae": MeanAbsoluteError()}
        return {f"{self.name}_{kind}": self.of_all(metric) for kind, metric in kinds.items()}

    def confusion_matrix(self, class_names: Sequence[str]) -> dict[str, ConfusionMatrix]:
        """``confusion_matrix_<name>`` if the target is a class."""
        found = confusion_matrix(self.classes, class_names) if self.classes else {}
        return {
            f"{key}_{self.name}": ConfusionMatrix(names, self.of_all(metric)) for key, (names, metric) in found.items()
        }

    def columns_of(self, prediction: Tensor, target: Tensor, class_names: Sequence[str]) -> Columns:
        """The columns of a table of predictions, whose names end with that of the target."""
        own, target = self.own_outputs(prediction), self.own_target(target)
        columns = class_columns(own, target, class_names) if self.classes else number_columns(own, target)
        return with_suffix(columns, self.name)

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
    names: Sequence[str], targets: Sequence[Tensor], classes: Sequence[int], weights: Sequence[float] | None
) -> tuple[list[Head], Tensor]:
    """The heads, and their targets concatenated to one float tensor ``[N, ..., columns]``.

    Args:
        names: names of the targets.
        targets: class numbers ``[N, ...]``, or numbers ``[N, ..., O]``, for each target. -100 and NaN mark a step
            without labels, which is NaN in the result.
        classes: number of classes of each target; 0 for numeric targets.
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
    for name, target, count, weight in zip(names, targets, classes, weights, strict=True):
        part = target.float()
        if count:
            part = part.masked_fill(target == UNLABELLED, torch.nan).unsqueeze(-1)
        width, size = part.shape[-1], count or part.shape[-1]
        heads.append(Head(name, count, slice(output, output + size), slice(column, column + width), weight))
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
