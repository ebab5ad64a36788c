"""Labels of several tasks for the output units of one network.

A prediction ``[B, labels · tasks]`` is reshaped to ``[B, labels, tasks]``, so unit u belongs to task u mod tasks. A
target ``[B, tasks]`` holds a label for each task.
"""

from torch import Tensor
from torchmetrics import MeanMetric

NOT_SHOWN = -1  # the label of a task without an image in the input


def by_task(prediction: Tensor, tasks: int) -> Tensor:
    """Reshape ``[B, labels · tasks]`` to ``[B, labels, tasks]``."""
    return prediction.unflatten(1, (-1, tasks))


def unit_of(target: Tensor) -> Tensor:
    """The correct output unit ``[B]`` for a target with one shown task in each row."""
    label, task = target.max(1)
    return label * target.shape[1] + task


class TaskAccuracy(MeanMetric):
    """The share of labels that have the highest score among the units of their task, for one task or all tasks."""

    def __init__(self, task: int | None = None) -> None:
        super().__init__()
        self.task = task

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        chosen = by_task(prediction, target.shape[1]).argmax(1)
        if self.task is not None:
            chosen, target = chosen[:, self.task], target[:, self.task]
        super().update(chosen == target, target != NOT_SHOWN)


def right_units(prediction: Tensor, target: Tensor) -> Tensor:
    """The mask of the images whose unit has the highest score of all units: both task and label must be correct."""
    return prediction.argmax(1) == unit_of(target)
