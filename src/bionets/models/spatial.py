"""Networks of neurons with positions: fully connected, or convolutional."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

from torch import Tensor, nn

from bionets.layers import SpatialConv2d, SpatialLinear, spatial_layers
from bionets.layers.spatial.spatial_costs import POWERS, Norm, SpatialCosts, check_where, mean_costs
from bionets.models.checks import require_not_negative, require_one_of, require_positive
from bionets.models.model import Model, OptimizerFactory
from bionets.tasks.spec import Kind, TaskSpec


class SpatialModel(Model):
    """A network with spatial layers, whose positions add costs to the training loss.

    The training loss is task loss + proximity · proximity cost + transport · transport cost (see `mean_costs`).
    ``val/loss`` is only the task loss; both costs, without weights, are logged as ``val/proximity`` and
    ``val/transport``.

    Args:
        network: the network from images to scores.
        where: indices of the spatial layers to which the costs apply, from 0; None for all.
        proximity, transport: weights of the two costs; 0 for no cost.
        norm: norm of the weights of the connections, ``l1`` or ``l2``.
        positions_lr: learning rate of the positions, as a multiple of that of the optimizer.

    Raises:
        ValueError: the kind of task is not supported, a weight is negative, or ``where`` is out of range.
    """

    abstract = True
    accepts: ClassVar[frozenset[Kind]] = frozenset({"image_to_class", "image_to_value"})

    def __init__(
        self,
        spec: TaskSpec,
        network: nn.Sequential,
        where: Sequence[int] | None = None,
        proximity: float = 0.0,
        transport: float = 0.0,
        norm: Norm = "l2",
        positions_lr: float = 1.0,
        optimizer: OptimizerFactory | None = None,
    ) -> None:
        super().__init__(spec, optimizer)
        require_one_of(POWERS, norm=norm)
        require_not_negative(proximity=proximity, transport=transport, positions_lr=positions_lr)
        try:
            self.where = None if where is None else check_where(where, len(spatial_layers(network)))
        except ValueError as error:
            raise ValueError(f"model.{error}") from error
        self.network = network
        self.proximity, self.transport, self.norm, self.positions_lr = proximity, transport, norm, positions_lr

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def costs(self) -> SpatialCosts:
        """Both current costs of the network, without weights."""
        return mean_costs(self.network, self.norm, self.where)

    def training_step(self, batch: tuple[Tensor, ...], batch_index: int) -> Tensor:
        loss = super().training_step(batch, batch_index)
        if not (self.proximity or self.transport):
            return loss
        costs = self.costs()
        return loss + self.proximity * costs.proximity + self.transport * costs.transport

    def lr_factors(self) -> dict[str, float]:
        named = self.named_parameters()
        return {name: self.positions_lr for name, _ in named if name.endswith(".positions")}

    def recorded_arrays(self) -> dict[str, dict[str, Tensor]]:
        """``positions.npz``: the positions of the neurons of each spatial layer."""
        return {"positions": {f"layer_{i}": layer.positions for i, layer in enumerate(spatial_layers(self.network))}}

    def validation_metrics(self, x: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
        """``proximity`` and ``transport``, the costs without weights."""
        return self.costs()._asdict()


class SpatialLinearModel(SpatialModel):
    """All pixels -> fully connected spatial layers; the last layer gives the scores.

    Args:
        hidden_sizes: number of neurons of each hidden layer.
        activation: name of the class in `torch.nn` of the activation after each hidden layer.
        dim: number of dimensions of the positions.
        others: see `SpatialModel`.
    """

    def __init__(
        self,
        spec: TaskSpec,
        hidden_sizes: Sequence[int] = (100, 100),
        activation: str = "ReLU",
        *,
        dim: int = 2,
        **others: Any,
    ) -> None:
        require_positive(hidden_sizes=hidden_sizes, dim=dim)
        layers: list[nn.Module] = [nn.Flatten()]
        for size_in, size_out in pairwise([spec.input_size, *hidden_sizes]):
            layers += [SpatialLinear(size_in, size_out, dim=dim), make_activation(activation)]
        network = nn.Sequential(*layers, SpatialLinear(hidden_sizes[-1], spec.output_size, dim=dim))
        super().__init__(spec, network, **others)


class SpatialConvModel(SpatialModel):
    """Spatial convolutions, each of which halves height and width -> a spatial linear layer, which gives the scores.

    Args:
        channels: number of channels of each convolution.
        kernel_size: kernel size of all convolutions, an odd number.
        dilation: dilation of all convolutions.
        groups: groups of all convolutions except the first.
        activation: name of the class in `torch.nn` of the activation after each convolution.
        dim: number of dimensions of the positions.
        others: see `SpatialModel`.
    """

    def __init__(
        self,
        spec: TaskSpec,
        channels: Sequence[int] = (32, 64),
        kernel_size: int = 3,
        dilation: int = 1,
        groups: int = 1,
        activation: str = "ReLU",
        *,
        dim: int = 2,
        **others: Any,
    ) -> None:
        require_positive(channels=channels, dim=dim, dilation=dilation, groups=groups)
        if any(each % groups for each in channels):
            raise ValueError(f"model.groups={groups} must divide all of model.channels={list(channels)}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"model.kernel_size must be odd and at least 1, got {kernel_size}")
        if spec.image_shape is None:
            raise ValueError(f"{type(self).__name__} does not fit a task of kind {spec.kind}")
        channels_in, height, width = spec.image_shape
        layers: list[nn.Module] = []
        for number, (size_in, size_out) in enumerate(pairwise([channels_in, *channels])):
            convolution = SpatialConv2d(
                size_in,
                size_out,
                kernel_size,
                stride=2,
                padding=dilation * (kernel_size // 2),
                dilation=dilation,
                dim=dim,
                groups=groups if number else 1,
            )
            layers += [convolution, make_activation(activation)]
            height, width = (height + 1) // 2, (width + 1) // 2
        scores = SpatialLinear(channels[-1] * height * width, spec.output_size, dim=dim)
        network = nn.Sequential(*layers, nn.Flatten(), scores)
        super().__init__(spec, network, **others)


def make_activation(name: str) -> nn.Module:
    """An activation of `torch.nn` by the name of its class."""
    kind = getattr(nn.modules.activation, name, None)
    try:
        if isinstance(kind, type) and issubclass(kind, nn.Module):
            return kind()
    except TypeError:  # it requires arguments
        pass
    raise ValueError(f"model.activation={name} is not an activation of torch.nn: choose ReLU, Tanh, GELU, ...")
