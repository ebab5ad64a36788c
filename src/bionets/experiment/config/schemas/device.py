"""The schema of the device, which training and evaluation share."""

from dataclasses import dataclass
from typing import Any


@dataclass
class Device:
    """The arguments of Lightning's Trainer for the device.

    Args:
        accelerator: auto, cpu, gpu or another accelerator of Lightning.
        devices: number of devices, a list of their indices, or auto for all.
        strategy: auto, ddp or another strategy of Lightning.
    """

    accelerator: str = "auto"
    devices: Any = "auto"
    strategy: str = "auto"
