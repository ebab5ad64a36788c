"""The schema of the device of ``evaluate``."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Device:
    """The device of ``evaluate``, in the arguments of Lightning's Trainer.

    Args:
        accelerator: auto, cpu or gpu.
        devices: 1, or a list with the index of one device.
        strategy: auto; a test runs in one process.
    """

    accelerator: str = "auto"
    devices: Any = 1
    strategy: str = "auto"
