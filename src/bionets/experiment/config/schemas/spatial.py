"""What spatial networks can be told."""

from dataclasses import dataclass, field

from .model import Model


@dataclass
class SpatialModel(Model):
    """A network whose neurons have a place."""

    activation: str = "ReLU"
    where: list[int] | None = None
    proximity: float = 0.0
    transport: float = 0.0
    norm: str = "l2"
    dim: int = 2


@dataclass
class SpatialLinearModel(SpatialModel):
    _target_: str = "bionets.models.SpatialLinearModel"
    hidden_sizes: list[int] = field(default_factory=lambda: [100, 100])


@dataclass
class SpatialConvModel(SpatialModel):
    _target_: str = "bionets.models.SpatialConvModel"
    channels: list[int] = field(default_factory=lambda: [32, 64])
    kernel_size: int = 3


SPATIAL_MODELS: dict[str, type[Model]] = {"spatial_linear": SpatialLinearModel, "spatial_conv": SpatialConvModel}
