"""The specification of a task: all that a model knows of it."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Kind = Literal[
    "sequence_to_value", "sequence_to_sequence", "sequence_to_class", "image_to_class", "image_to_value", "control"
]


@dataclass(frozen=True)
class TaskSpec:
    """The interface between a task and a model: the shapes and the meaning of input and prediction.

    - ``sequence_to_value``: x is ``[T, B, input_size]``, the prediction ``[B, output_size]``, made after the last step.
    - ``sequence_to_sequence``: x is ``[T, B, input_size]``, the prediction ``[T, B, output_size]``, one at every step.
    - ``sequence_to_class``: as ``sequence_to_value``; the prediction holds a score for each class, and every sequence
      has ``steps`` steps.
    - ``image_to_class``: x is ``[B, *image_shape]``, ``image_shape`` being channels, height and width, and
      ``input_size`` their product; the prediction holds a score for each class, ``[B, output_size]``.
    - ``image_to_value``: as ``image_to_class``; the prediction holds numbers.
    - ``control``: x ``[B]`` holds the seeds of episodes, int64, and the prediction ``[B]`` what each of them returned.
      The model plays them in ``task.environment()``, which has Gymnasium's interface: an observation is ``input_size``
      numbers, each usually within its ``bounds``, and an action is one of ``output_size``.

    ``spikes`` says that the numbers in x are counts of spikes or events, and 0 where nothing happens. ``step_shape`` is
    the channels, height and width of the ``input_size`` numbers of a step, where these are an image. With several
    ``answers``, the scores of as many questions of equally many classes stand side by side, and the target is
    ``[B, answers]``. With ``lengths``, sequences may end before T: a batch is then ``(x, target, lengths)``, lengths
    being ``[B]`` integers from 1 to T; what x and a target of every step hold after the end does not count.

    ``closed_loop``, of a ``sequence_to_sequence`` with as many outputs as inputs, says that the prediction at a step is
    the next input: in validation and test the target ``[F, B, output_size]`` is what follows x, and the model continues
    x from its own predictions.
    """

    kind: Kind
    input_size: int
    output_size: int
    steps: int | None = None
    image_shape: tuple[int, int, int] | None = None
    step_shape: tuple[int, int, int] | None = None
    spikes: bool = False
    answers: int = 1
    bounds: tuple[tuple[float, float], ...] | None = None
    lengths: bool = False
    closed_loop: bool = False

    def __post_init__(self) -> None:
        fits = self.kind == "sequence_to_sequence" and self.input_size == self.output_size and not self.lengths
        if self.closed_loop and not fits:
            raise ValueError(
                "closed_loop needs a sequence_to_sequence without lengths whose output_size is its input_size"
            )

    @property
    def batch_dims(self) -> tuple[int, int]:
        """The batch dimension of x, and that of prediction and target."""
        return int(self.kind.startswith("sequence")), int(self.kind == "sequence_to_sequence")

    def answers_in(self, target: Tensor) -> int:
        """The number of answers that a target holds: its samples, or the steps of all of them; of sequences with
        lengths the valid ones, which stand alone.
        """
        valid_alone = self.lengths and self.kind == "sequence_to_sequence"
        return len(target) if valid_alone else target.shape[: self.batch_dims[1] + 1].numel()

    @property
    def last_step_only(self) -> bool:
        """Whether a sequence is answered once, after its last step."""
        return self.kind in ("sequence_to_value", "sequence_to_class")
