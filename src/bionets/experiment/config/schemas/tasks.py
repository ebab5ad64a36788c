"""What each task can be told."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import II, MISSING

from .event_tasks import EVENT_TASKS
from .task import Task


@dataclass
class CopyFirstInput(Task):
    _target_: str = "bionets.tasks.CopyFirstInput"
    length: int = MISSING
    epochs: int = MISSING
    stop_below: float | None = None


@dataclass
class BinaryAddition(Task):
    _target_: str = "bionets.tasks.BinaryAddition"
    length: int = MISSING
    min_length: int = MISSING
    test_length: int = MISSING
    min_test_length: int = MISSING
    epochs_per_length: int = MISSING
    curriculum: bool = True


@dataclass
class Denoising(Task):
    _target_: str = "bionets.tasks.Denoising"
    length: int = MISSING
    forgetting_period: int = MISSING
    marked: int = MISSING
    epochs: int = MISSING


@dataclass
class CustomData:
    """The sizes follow from the data and the shares."""

    _target_: str = "bionets.tasks.CustomData"
    name: str = MISSING
    data: str = MISSING
    inputs: list[str] = field(default_factory=list)
    targets: str = "y"
    sequences: str | None = None
    read_as: str = "image"
    standardise: bool = False
    val_share: float = 0.1
    test_share: float = 0.1
    class_weights: Any = None
    batch_size: int = MISSING
    epochs: int = MISSING
    stop_below: float | None = None
    seed: int = II("seed")


@dataclass
class SpeechDigits:
    """The sizes follow from the data."""

    _target_: str = "bionets.tasks.SpeechDigits"
    name: str = MISSING
    data_dir: str = II("paths.data_dir")
    steps: int = 100
    bands: int = 40
    held_out: list[str] = field(default_factory=list)
    batch_size: int = MISSING
    epochs: int = MISSING
    seed: int = II("seed")


@dataclass
class Augmentation:
    shift: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    flip: bool = False


@dataclass
class Images(Task):
    _target_: str = "bionets.tasks.Images"
    dataset: str = MISSING
    data_dir: str = II("paths.data_dir")
    read_as: str = "image"
    permuted: bool = False
    blank_steps: int = 0
    steps: int = 350
    max_rate: float = 63.75
    threshold: float | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    loss: str = "cross_entropy"
    epochs: int = MISSING


@dataclass
class MultiImage(Task):
    """Several sets of images at once."""

    _target_: str = "bionets.tasks.MultiImage"
    datasets: list[str] = MISSING
    data_dir: str = II("paths.data_dir")
    presentation: str = "sequential"
    sampling: str = "random"
    epochs_per_task: int | None = None
    labels: int = 10
    epochs: int = MISSING


TASKS: dict[str, type[Any]] = {
    "custom": CustomData,
    "speech_digits": SpeechDigits,
    "smnist": Images,
    "psmnist": Images,
    "copy_first_input": CopyFirstInput,
    "binary_addition": BinaryAddition,
    "denoising": Denoising,
    "mnist": Images,
    "fashion_mnist": Images,
    "kmnist": Images,
    "qmnist": Images,
    "multi_image": MultiImage,
    **EVENT_TASKS,
}
