"""What every model can be told."""

from dataclasses import dataclass

from omegaconf import MISSING


@dataclass
class Model:
    """What every model has."""

    _target_: str = MISSING
    name: str = MISSING
