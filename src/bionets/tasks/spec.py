"""What a model must know of a task, and nothing more."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["sequence_to_value", "sequence_to_sequence", "sequence_to_class", "image_to_class"]


@dataclass(frozen=True)
class TaskSpec:
    """The seam between a task and a model: what goes in, what comes out.

    - ``sequence_to_value``: x is ``[T, B, input_size]``, the prediction ``[B, output_size]``, made after the last step.
    - ``sequence_to_sequence``: x is ``[T, B, input_size]``, the prediction ``[T, B, output_size]``, one at every step.
    - ``sequence_to_class``: as ``sequence_to_value``; the prediction holds a score for each class, and every sequence
      has ``steps`` steps.
    - ``image_to_class``: x is ``[B, *image_shape]``, ``image_shape`` being channels, height and width, and
      ``input_size`` their product; the prediction holds a score for each class, ``[B, output_size]``.
    """

    kind: Kind
    input_size: int
    output_size: int
    steps: int | None = None
    image_shape: tuple[int, int, int] | None = None

    @property
    def batch_dims(self) -> tuple[int, int]:
        """The batch dimension of x, and that of prediction and target."""
        return int(self.kind != "image_to_class"), int(self.kind == "sequence_to_sequence")

    @property
    def last_step_only(self) -> bool:
        """Whether a sequence is answered once, after its last step."""
        return self.kind in ("sequence_to_value", "sequence_to_class")
