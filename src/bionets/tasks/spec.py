"""The specification of a task, which is the only information about the task that a model gets."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Kind = Literal[
    "sequence_to_value", "sequence_to_sequence", "sequence_to_class", "image_to_class", "image_to_value", "control"
]

UNLABELLED = -100
"""The class of a step without a label, as ``ignore_index`` in torch; without a number as target, a step has NaN."""


@dataclass(frozen=True)
class TaskSpec:
    """The interface between a task and a model: the shapes and the meaning of input and prediction.

    - ``sequence_to_value``: x is ``[T, B, input_size]``, the prediction after the last step ``[B, output_size]``.
    - ``sequence_to_sequence``: x is ``[T, B, input_size]``, the predictions at every step ``[T, B, output_size]``.
    - ``sequence_to_class``: as ``sequence_to_value``; the prediction holds a score for each class, and every sequence
      has ``steps`` steps.
    - ``image_to_class``: x is ``[B, *image_shape]``, where ``image_shape`` is (channels, height, width) and
      ``input_size`` their product; the prediction ``[B, output_size]`` holds a score for each class.
    - ``image_to_value``: as ``image_to_class``; the prediction holds numbers.
    - ``control``: x ``[B]`` holds the seeds of episodes, int64, and the prediction ``[B]`` the return of each episode.
      The model plays the episodes in ``task.environment()``, which has the interface of Gymnasium. An observation has
      ``input_size`` numbers, which are usually within their ``bounds``; an action is a number below ``output_size``.

    ``spikes`` is True if the numbers in x are counts of spikes or events. ``step_shape`` is (channels, height, width)
    of the ``input_size`` numbers of a step if these are an image. With ``answers`` > 1, the prediction concatenates the
    scores of this number of classifications, which have the same number of classes, and the target is ``[B, answers]``.
    ``classes`` is for ``sequence_to_sequence``: the prediction at a step holds a score for each class, and the target
    ``[T, B]`` the classes.
    With ``lengths``, sequences may end before T: a batch is then ``(x, target, lengths)``, where lengths ``[B]`` are
    integers from 1 to T. Values of x and of targets at every step after the end of a sequence are ignored.
    ``unlabelled`` is for ``sequence_to_sequence``: some steps have no target, but -100 in place of a class or NaN in
    place of a number. They are inputs of the model, but count in no loss, metric or weight of a batch.

    ``closed_loop`` is for ``sequence_to_sequence`` with equal numbers of inputs and outputs: the prediction at a step
    is the next input. In validation and test, the target ``[F, B, output_size]`` is the continuation of x, and the
    model continues x from its own predictions.
    """

    kind: Kind
    input_size: int
    output_size: int
    steps: int | None = None
    image_shape: tuple[int, int, int] | None = None
    step_shape: tuple[int, int, int] | None = None
    spikes: bool = False
    answers: int = 1
    classes: bool = False
    bounds: tuple[tuple[float, float], ...] | None = None
    lengths: bool = False
    closed_loop: bool = False
    unlabelled: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind={self.kind} of a task is unknown: choose {', '.join(get_args(Kind))}")
        fits = self.kind == "sequence_to_sequence" and self.input_size == self.output_size
        if self.closed_loop and (not fits or self.lengths or self.unlabelled):
            raise ValueError(
                "closed_loop needs a sequence_to_sequence whose output_size is its input_size, without lengths and "
                "unlabelled steps"
            )
        for key in ("classes", "unlabelled"):
            if getattr(self, key) and self.kind != "sequence_to_sequence":
                raise ValueError(f"{key}=True is for sequence_to_sequence: leave it out for {self.kind}")

    @property
    def batch_dims(self) -> tuple[int, int]:
        """The batch dimension of x, and the batch dimension of prediction and target."""
        return int(self.kind.startswith("sequence")), int(self.kind == "sequence_to_sequence")

    @property
    def selects_steps(self) -> bool:
        """Whether only some steps are scored, see `only_scored`."""
        return self.kind == "sequence_to_sequence" and (self.lengths or self.unlabelled)

    def only_scored(self, prediction: Tensor, target: Tensor, *lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and target of the answers that count in loss and metrics. With ``lengths`` or ``unlabelled``, and
        a prediction at every step, these are the M steps before the end of their sequence that have a label,
        ``[M, output_size]``, where M may be 0. Otherwise they are returned unchanged.
        """
        scored = self.scored(target, *lengths)
        return (prediction, target) if scored is None else (prediction[scored], target[scored])

    def scored(self, target: Tensor, *lengths: Tensor) -> Tensor | None:
        """The mask ``[T, B]`` of the steps that `only_scored` returns; None for everything."""
        if self.kind != "sequence_to_sequence" or not (lengths or self.unlabelled):
            return None
        if not lengths:
            return has_label(target)
        before_end = torch.arange(len(target), device=target.device).unsqueeze(1) < lengths[0]
        return has_label(target) & before_end if self.unlabelled else before_end

    def answers_in(self, target: Tensor) -> int:
        """The number of answers in a target: its samples, or the steps of all samples. If only some steps are scored,
        the target holds them as a list, as `only_scored` returns it.
        """
        return len(target) if self.selects_steps else target.shape[: self.batch_dims[1] + 1].numel()

    @property
    def predicts_classes(self) -> bool:
        """Whether the prediction holds a score for each class."""
        return self.classes or self.kind.endswith("class")

    @property
    def last_step_only(self) -> bool:
        """Whether the task asks for one prediction, after the last step of a sequence."""
        return self.kind in ("sequence_to_value", "sequence_to_class")


def has_label(target: Tensor) -> Tensor:
    """The mask of the steps with a label, for targets at every step whose first two dimensions are steps and samples:
    classes other than -100, or numbers that are not NaN."""
    if not target.is_floating_point():
        return target != UNLABELLED
    return ~(target.isnan() if target.dim() <= 2 else target.isnan().flatten(2).any(2))
