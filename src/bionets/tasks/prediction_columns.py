"""The columns of a table of predictions: classes with their probabilities, or numbers."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

Columns = dict[str, list[Any]]


def class_columns(prediction: Tensor, target: Tensor, class_names: Sequence[str] = ()) -> Columns:
    """The columns ``target``, ``prediction`` (the class with the highest score), and ``probability_<class>`` (the
    softmax of the scores).

    Args:
        prediction: scores ``[M, K]``.
        target: classes ``[M]``.
        class_names: the names of the classes; empty for their numbers.
    """
    names = list(class_names) or list(map(str, range(prediction.shape[1])))
    columns: Columns = {
        "target": [names[number] for number in target.tolist()],
        "prediction": [names[number] for number in prediction.argmax(1).tolist()],
    }
    probabilities = prediction.softmax(1).T.numpy()  # numpy prints a float32 with as many digits as it has
    return columns | {f"probability_{name}": list(column) for name, column in zip(names, probabilities, strict=True)}


def number_columns(prediction: Tensor, target: Tensor) -> Columns:
    """The columns ``target`` and ``prediction`` of numbers ``[M]`` or ``[M, 1]``; ``target_1``, ``prediction_1``,
    ``target_2``, ... of numbers ``[M, O]``. Raises ValueError if predictions and targets differ in number."""
    targets, predictions = (each.reshape(len(each), -1).T.numpy() for each in (target, prediction))
    if len(targets) != len(predictions):
        raise ValueError(
            f"{len(predictions)} predictions for {len(targets)} targets of a sample: override prediction_columns of "
            "the task"
        )
    if len(targets) == 1:
        return {"target": list(targets[0]), "prediction": list(predictions[0])}
    columns: Columns = {}
    for number, pair in enumerate(zip(targets, predictions, strict=True), 1):
        columns |= {f"target_{number}": list(pair[0]), f"prediction_{number}": list(pair[1])}
    return columns


def bit_columns(logits: Tensor, target: Tensor, predicted: Tensor | None = None) -> Columns:
    """The columns of `number_columns` for bits ``[M, O]`` and their logits, and ``probability``, that of a 1;
    ``probability_1``, ... of several bits. ``predicted`` ``[M, O]`` are the predicted bits; None: 1 if the logit is
    positive."""
    columns = number_columns((logits > 0 if predicted is None else predicted).long(), (target > 0.5).long())
    probabilities = logits.sigmoid().T.numpy()
    names = (
        ["probability"] if len(probabilities) == 1 else [f"probability_{n}" for n in range(1, len(probabilities) + 1)]
    )
    return columns | {name: list(column) for name, column in zip(names, probabilities, strict=True)}


def with_suffix(columns: Columns, suffix: str) -> Columns:
    """The columns of one of several targets."""
    return {f"{name}_{suffix}": column for name, column in columns.items()}
