"""What a model must know of a task, and nothing more."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["sequence_to_value", "sequence_to_sequence"]


@dataclass(frozen=True)
class TaskSpec:
    """The seam between a task and a model: what goes in, what comes out.

    - ``sequence_to_value``: x is ``[T, B, input_size]``, the prediction ``[B, output_size]``, made after the last step.
    - ``sequence_to_sequence``: x is ``[T, B, input_size]``, the prediction ``[T, B, output_size]``, one at every step.
    """

    kind: Kind
    input_size: int
    output_size: int
