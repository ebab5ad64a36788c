"""Tasks: data with their loss and metrics. A task does not depend on any model."""

from .bases import Classification, FixedSets
from .batches import Batches
from .binary_addition import BinaryAddition
from .boolean import Boolean
from .cogscale import CogScale
from .control import Control
from .copy_first_input import CopyFirstInput
from .custom import CustomData
from .custom_events import CustomEvents
from .denoising import Denoising
from .events import EventRecordings
from .heidelberg_spikes import HeidelbergSpikes
from .images import Images
from .mackey_glass import MackeyGlass
from .multi_image import MultiImage
from .spec import Kind, TaskSpec
from .speech_digits import SpeechDigits
from .task import Task
from .time_series import TimeSeries

__all__ = [
    "Batches",
    "BinaryAddition",
    "Boolean",
    "Classification",
    "CogScale",
    "Control",
    "CopyFirstInput",
    "CustomData",
    "CustomEvents",
    "Denoising",
    "EventRecordings",
    "FixedSets",
    "HeidelbergSpikes",
    "Images",
    "Kind",
    "MackeyGlass",
    "MultiImage",
    "SpeechDigits",
    "Task",
    "TaskSpec",
    "TimeSeries",
]
