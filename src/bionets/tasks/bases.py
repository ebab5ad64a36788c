"""Base classes of tasks: classification, and data sets that are the same in every epoch."""

from collections.abc import Mapping, Sequence

from torch import Tensor
from torchmetrics import MetricCollection

from .metrics import ClassAccuracy, ConfusionMatrix, confusion_matrix, cross_entropy
from .prediction_columns import Columns, class_columns
from .task import Data, Task


class Classification(Task):
    """A task whose prediction ``[B, output_size]`` holds a score for each class, and whose target ``[B]`` is the class;
    for a class at every step, ``[T, B, output_size]`` and ``[T, B]``, with ``classes=True`` in the spec.

    The loss is the mean cross-entropy over the batch. The best epoch is the one with the highest accuracy.
    """

    abstract = True  # cannot be chosen in a config
    monitor = "val/accuracy"
    mode = "max"
    class_names: Sequence[str] = ()  # empty: the numbers of the classes

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The mean cross-entropy over the batch."""
        return cross_entropy(prediction, target)

    def metrics(self) -> MetricCollection:
        """``accuracy``, the share of classes that have the highest score."""
        return MetricCollection({"accuracy": ClassAccuracy(self.spec.output_size)})

    def confusion_matrices(self) -> Mapping[str, ConfusionMatrix]:
        """The confusion matrix of the classes; none if the task has metrics of its own, whose targets may be others."""
        if type(self).metrics is not Classification.metrics:
            return {}
        return confusion_matrix(self.spec.output_size, self.class_names)

    def prediction_columns(self, prediction: Tensor, target: Tensor) -> Columns:
        """The class, the predicted class and the probability of each class, see `class_columns`."""
        return class_columns(prediction, target, self.class_names)


class FixedSets(Task):
    """A task whose training, validation and test sets are the same in every epoch; a subclass implements `part`."""

    abstract = True

    def part(self, split: str) -> Data:
        """The set ``train``, ``val`` or ``test``."""
        raise NotImplementedError(f"{type(self).__name__} must implement part")

    def train_data(self, epoch: int) -> Data:
        """The training set, the same in every epoch."""
        return self.part("train")

    def val_data(self) -> Data:
        """The validation set."""
        return self.part("val")

    def test_data(self, name: str) -> Data:
        """The test set. Raises ValueError for a name that is not in ``test_names``."""
        self.require_test_set(name)
        return self.part("test")
