"""Convolutional spiking networks."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bionets.models.checks import look_up, require_positive
from bionets.models.spiking import SpikingModel
from bionets.tasks.spec import Kind, TaskSpec

POOLS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d, "none": None}


class SpikingConvModel(SpikingModel):
    """Image ``[B, C, H, W]``, or a sequence of images ``[T, B, C·H·W]`` -> blocks of convolution, pooling,
    normalisation and spiking neurons -> spiking neurons, fully connected -> outputs.

    The memory layout is channels-last, which makes pooling many times faster on a CPU.

    Args:
        channels: number of channels of each block.
        convolutions: convolutions per block, each with its own neurons; the image is halved once per block.
        kernel_size: kernel size, an odd number; the convolutions keep the size of the image.
        pool: pooling, which halves the image in each block: ``max``, ``average`` or ``none``.
        pool_spikes: whether spikes are pooled; False pools the input of the neurons, which then are a quarter as many.
        batch_norm: whether the input of the neurons is normalised over batch and time.
        hidden_size: number of spiking neurons between the blocks and the outputs; 0 for none.
        dropout: share of spikes set to zero in training, before each fully connected layer.
        others: see `SpikingModel`, also for errors.
    """

    accepts: ClassVar[frozenset[Kind]] = frozenset({"image_to_class", "image_to_value", "sequence_to_class"})
    needed_options = (("pool_spikes", "pool"),)

    @classmethod
    def fits(cls, spec: TaskSpec) -> bool:
        """Whether the task has images, or sequences of images, such as those of an event camera."""
        return super().fits(spec) and (spec.image_shape or spec.step_shape) is not None

    def __init__(
        self,
        spec: TaskSpec,
        channels: Sequence[int] = (32, 64),
        convolutions: int = 1,
        kernel_size: int = 3,
        pool: str = "max",
        pool_spikes: bool = False,
        batch_norm: bool = True,
        hidden_size: int = 128,
        dropout: float = 0.0,
        *,
        time_steps: int = 4,
        readout: str = "mean_membrane",
        **others: Any,
    ) -> None:
        super().__init__(spec, time_steps=time_steps, readout=readout, **others)
        shape = spec.image_shape or spec.step_shape
        assert shape is not None
        require_positive(convolutions=convolutions, **{f"channels[{n}]": each for n, each in enumerate(channels)})
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"model.kernel_size must be odd, got {kernel_size}")
        if hidden_size < 0:
            raise ValueError(f"model.hidden_size must be at least 0, got {hidden_size}")
        pooling = look_up("pool", pool, POOLS)
        depth, *sides = shape
        modules: list[nn.Module] = []
        for count in channels:
            for number in range(convolutions):
                halve = [pooling(2)] if pooling is not None and number == convolutions - 1 else []
                modules += [nn.Conv2d(depth, count, kernel_size, padding=kernel_size // 2, bias=not batch_norm)]
                modules += [] if pool_spikes else halve
                modules += [nn.BatchNorm2d(count)] if batch_norm else []
                modules += [self.neurons(count, dim=-3)]
                modules += halve if pool_spikes else []
                depth = count
            sides = [side // 2 for side in sides] if pooling is not None else sides
        if not all(sides):
            blocks = f"model.channels has {len(channels)} blocks"
            raise ValueError(f"{blocks}, each of which halves the image until nothing is left of it: use fewer")
        modules.append(nn.Flatten())
        size = depth * sides[0] * sides[1]
        if hidden_size:
            modules += [nn.Dropout(dropout)] if dropout else []
            modules += [nn.Linear(size, hidden_size, bias=not batch_norm)]
            modules += [nn.BatchNorm1d(hidden_size)] if batch_norm else []
            modules += [self.neurons(hidden_size)]
            size = hidden_size
        modules += [nn.Dropout(dropout)] if dropout else []
        self.network = nn.Sequential(*modules, *self.outputs(size))
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, x: Tensor) -> Tensor:
        if self.spec.step_shape is None:
            return super().encode(x.contiguous(memory_format=torch.channels_last))
        images = x.flatten(0, 1).unflatten(1, self.spec.step_shape).contiguous(memory_format=torch.channels_last)
        return super().encode(images.unflatten(0, x.shape[:2]))
