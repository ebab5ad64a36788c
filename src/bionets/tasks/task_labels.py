"""Labels of several tasks, on the output units of one network.

A prediction ``[B, labels · tasks]`` is read as ``[B, labels, tasks]``, so unit u belongs to task u mod tasks. A target
``[B, tasks]`` holds a label for each task.
"""

from torch import Tensor
from torchmetrics import MeanMetric

NOT_SHOWN = -1  # the label of a task of which no image is shown


def by_task(prediction: Tensor, tasks: int) -> Tensor:
    """``[B, labels · tasks]`` as ``[B, labels, tasks]``."""
    return prediction.unflatten(1, (-1, tasks))


def unit_of(target: Tensor) -> Tensor:
    """The output unit ``[B]`` that a target with one shown task in each row asks for."""
    label, task = target.max(1)
    return label * target.shape[1] + task


class TaskAccuracy(MeanMetric):
    """The share of labels that have the highest score among the units of their task; of one task, or of all."""

    def __init__(self, task: int | None = None) -> None:
        super().__init__()
        self.task = task

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        chosen = by_task(prediction, target.shape[1]).argmax(1)
        if self.task is not None:
            chosen, target = chosen[:, self.task], target[:, self.task]
        super().update((chosen == target).float(), (target != NOT_SHOWN).float())


class UnitAccuracy(MeanMetric):
    """The share of images whose unit has the highest score of all units: the task must be right, and the label."""

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        super().update((prediction.argmax(1) == unit_of(target)).float())
