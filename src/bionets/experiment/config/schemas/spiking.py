"""What the spiking families can be told."""

from dataclasses import dataclass, field
from typing import Any

from .model import Model


@dataclass
class SpikingModel(Model):
    """What both have: neurons, how they see the input, and how they are read."""

    layer: str = "LIB"
    layer_arguments: dict[str, Any] = field(default_factory=dict)
    time_steps: int = 1
    encoder: str = "direct"
    encoder_arguments: dict[str, Any] = field(default_factory=dict)
    readout: str = "mean_membrane"
    output_arguments: dict[str, Any] = field(default_factory=dict)
    dropout: float = 0.0


@dataclass
class SpikingConvModel(SpikingModel):
    """Blocks of convolution and spiking neurons."""

    _target_: str = "bionets.models.SpikingConvModel"
    channels: list[int] = field(default_factory=lambda: [32, 64])
    convolutions: int = 1
    kernel_size: int = 3
    pool: str = "max"
    pool_spikes: bool = False
    batch_norm: bool = True
    hidden_size: int = 128
    time_steps: int = 4


@dataclass
class SpikingRecurrentModel(SpikingModel):
    """Layers of spiking neurons over a sequence."""

    _target_: str = "bionets.models.SpikingRecurrentModel"
    hidden_size: int = 100
    num_layers: int = 1
    recurrent: bool = True
    readout: str = "last_membrane"
