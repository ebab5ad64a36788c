"""Tasks: data with their loss and metrics. They know no model."""

from .batches import Batches
from .binary_addition import BinaryAddition
from .copy_first_input import CopyFirstInput
from .denoising import Denoising
from .images import Images
from .multi_image import MultiImage
from .spec import Kind, TaskSpec
from .task import Task

__all__ = [
    "Batches",
    "BinaryAddition",
    "CopyFirstInput",
    "Denoising",
    "Images",
    "Kind",
    "MultiImage",
    "Task",
    "TaskSpec",
]
