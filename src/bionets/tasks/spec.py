"""The specification of a task, which is the only information about the task that a model gets."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Kind = Literal[
    "sequence_to_value", "sequence_to_sequence", "sequence_to_class", "image_to_class", "image_to_value", "control"
]


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

    def __post_init__(self) -> None:
        fits = self.kind == "sequence_to_sequence" and self.input_size == self.output_size and not self.lengths
        if self.closed_loop and not fits:
            raise ValueError(
                "closed_loop needs a sequence_to_sequence without lengths whose output_size is its input_size"
            )
        if self.classes and self.kind != "sequence_to_sequence":
            raise ValueError(f"classes=True is for sequence_to_sequence: leave it out for {self.kind}")

    @property
    def batch_dims(self) -> tuple[int, int]:
        """The batch dimension of x, and the batch dimension of prediction and target."""
        return int(self.kind.startswith("sequence")), int(self.kind == "sequence_to_sequence")

    def answers_in(self, target: Tensor) -> int:
        """The number of answers in a target: its samples, or the steps of all samples. For sequences with lengths, the
        target holds only the valid steps.
        """
        valid_alone = self.lengths and self.kind == "sequence_to_sequence"
        return len(target) if valid_alone else target.shape[: self.batch_dims[1] + 1].numel()

    @property
    def predicts_classes(self) -> bool:
        """Whether the prediction holds a score for each class."""
        return self.classes or self.kind.endswith("class")

    @property
    def last_step_only(self) -> bool:
        """Whether the task asks for one prediction, after the last step of a sequence."""
        return self.kind in ("sequence_to_value", "sequence_to_class")
