"""CogScale: fourteen small tasks of memory, made by the package cogscale."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torchmetrics import MeanMetric, MetricCollection

from .bases import FixedSets
from .checks import require_one_of
from .spec import TaskSpec
from .task import Data

CLASSES, LABELS = "classification", "multi_classification"  # the third category of the package is regression
PROBLEMS = (
    "sinus_forecasting",
    "chaotic_forecasting",
    "discrete_postcasting",
    "continuous_postcasting",
    "discrete_pattern_completion",
    "continuous_pattern_completion",
    "bracket_matching",
    "simple_copy",
    "selective_copy",
    "adding_problem",
    "sorting_problem",
    "cross_situation",
    "associative_recall",
    "induction_heads",
)
DIFFICULTIES = ("small", "medium", "large")
UNSCORED = -100  # in the package's targets


class CogScale(FixedSets):
    """One of the 14 problems of CogScale: ``sinus_forecasting``, ``chaotic_forecasting``, ``discrete_postcasting``,
    ``continuous_postcasting``, ``discrete_pattern_completion``, ``continuous_pattern_completion``,
    ``bracket_matching``, ``simple_copy``, ``selective_copy``, ``adding_problem``, ``sorting_problem``,
    ``cross_situation``, ``associative_recall`` and ``induction_heads``.

    x is ``[T, B, I]``, the prediction ``[T, B, O]``, of which some steps are scored. By the problem, a prediction is of
    a class (cross-entropy), of O labels that are there or not (binary cross-entropy of logits), or of O numbers (mean
    squared error), each a mean over the scored steps. The target is ``[T, B]`` classes, or ``[T, B, O]`` numbers, with
    −100 at the other steps.

    ``error`` is the package's score, smaller is better: the share of wrong classes, the share of wrong labels, or the
    mean squared error. Its smallest value on validation data chooses the epoch.

    The package fixes the sizes of the three sets and draws them by ``seed``; the two forecasting problems are one
    fixed sequence each, whose parts are scored one after the other. Protocol of the original: batches of 10, at most 50
    epochs, an end after 10 without a better validation error (``callbacks.patience=10``).

    Args:
        problem: one of the above.
        difficulty: ``small``, ``medium`` or ``large``: longer sequences, more symbols, more samples.
        others: see `Task`.

    Raises:
        ValueError: an unknown problem or difficulty, or the package is not installed.

    Source: Bendi-Ouis, De Coudenhove and Hinaut, CogScale: Scalable Benchmark for Sequence Processing, 2026.
    """

    monitor = "val/error"
    mode = "min"

    def __init__(
        self,
        problem: str = "simple_copy",
        difficulty: str = "small",
        batch_size: int = 10,
        epochs: int = 50,
        seed: int = 0,
    ) -> None:
        require_one_of(PROBLEMS, problem=problem)
        require_one_of(DIFFICULTIES, difficulty=difficulty)
        arrays = build_arrays(problem, difficulty, seed)
        self.category: str = arrays["category"]
        self._data = {
            split: (time_first(arrays[f"X_{name}"]), as_target(arrays[f"Y_{name}"], self.category))
            for split, name in (("train", "train"), ("val", "valid"), ("test", "test"))
        }
        sizes = {f"{split}_size": x.shape[1] for split, (x, _) in self._data.items()}
        super().__init__(**sizes, batch_size=batch_size, epochs=epochs, seed=seed)
        inputs, outputs = arrays["X_train"].shape[2], arrays["Y_train"].shape[2]
        self.spec = TaskSpec("sequence_to_sequence", inputs, outputs)

    def part(self, split: str) -> Data:
        return self._data[split]

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of classes or of labels, or the mean squared error, a mean over the scored steps."""
        prediction, target = scored(prediction, target)
        if not len(target):  # of a chunk of time
            return prediction.sum()
        if self.category == CLASSES:
            return functional.cross_entropy(prediction, target)
        if self.category == LABELS:
            return functional.binary_cross_entropy_with_logits(prediction, target)
        return functional.mse_loss(prediction, target)

    def scored_steps(self, target: Tensor) -> float:
        steps = target != UNSCORED if self.category == CLASSES else (target != UNSCORED).any(-1)
        return int(steps.sum())

    def metrics(self) -> MetricCollection:
        """``error``: the share of wrong classes or labels, or the mean squared error, at the scored steps."""
        return MetricCollection({"error": ScoredError(self.category)})


class ScoredError(MeanMetric):
    """The share of wrong classes or labels, or the mean squared error, over all scored steps."""

    def __init__(self, category: str) -> None:
        super().__init__()
        self.category = category

    def update(self, prediction: Tensor, target: Tensor) -> None:  # type: ignore[override]
        prediction, target = scored(prediction, target)
        if self.category == CLASSES:
            error = (prediction.argmax(-1) != target).float()
        elif self.category == LABELS:
            error = ((prediction >= 0) != (target > 0)).float()
        else:
            error = (prediction - target).square()
        super().update(error)


def scored(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The scored steps of both, ``[M, O]``; of classes ``[M, O]`` and ``[M]``."""
    steps = target != UNSCORED if target.dim() < prediction.dim() else (target != UNSCORED).any(-1)
    return prediction[steps], target[steps]


def build_arrays(problem: str, difficulty: str, seed: int) -> Mapping[str, Any]:
    """The arrays that the package makes, ``[N, T, I]`` and ``[N, T, O]``."""
    try:
        import cogscale
    except ImportError as error:
        raise ValueError('task=cogscale needs the package cogscale: pip install "bionets[cogscale]"') from error
    arrays = cogscale.build_task(problem, difficulty, seed=seed)
    if problem == "cross_situation":
        return in_order_of_words(arrays)
    return arrays


def in_order_of_words(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs in the order in which the words first occur. The package's order is that of a set of strings, which
    is another in every process.
    """
    inputs = [arrays[f"X_{name}"] for name in ("train", "valid", "test")]
    words = np.concatenate([each.reshape(-1, each.shape[-1]) for each in inputs])
    order = np.where(words.any(0), words.argmax(0), len(words)).argsort(kind="stable")
    return {
        **arrays,
        **{f"X_{name}": each[..., order] for name, each in zip(("train", "valid", "test"), inputs, strict=True)},
    }


def time_first(array: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(array).float().transpose(0, 1).contiguous()


def as_target(array: NDArray[np.float64], category: str) -> Tensor:
    """``[T, N, O]`` numbers or labels, or ``[T, N]`` classes, with −100 at the steps that are not scored."""
    target = time_first(array)
    if category != CLASSES:
        return target
    return target.argmax(-1).masked_fill((target == UNSCORED).all(-1), UNSCORED)
