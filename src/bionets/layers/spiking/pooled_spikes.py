"""Fused spiking and pooling: neurons and the following max-pooling in one pass over time.

The spikes of a convolutional layer are the largest tensor of a network, and if a max-pooling follows, only the pooling
reads them. Here the neurons of a window are computed together, and only their largest output is written.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from bionets.layers.plain_calls import calls_only
from bionets.layers.spiking.over_time import neurons_over_time
from bionets.layers.spiking.spiking_layer import SpikingLayer
from bionets.layers.stateful import StatefulModule, States
from bionets.scan import split_gates


def can_pool(layer: nn.Module, pool: nn.Module, x: Any) -> bool:
    """Whether `pooled_over_time` gives the result of these two modules for x ``[T·B, C, H, W]``, and no hook reads the
    spikes between them.
    """
    if not isinstance(layer, SpikingLayer) or type(layer).over_time is not SpikingLayer.over_time:
        return False
    if type(pool) is not nn.MaxPool2d or not isinstance(x, Tensor) or x.dim() != 4 or layer.dim not in (-3, 1):
        return False
    if not calls_only(layer, StatefulModule.forward) or not calls_only(pool, nn.MaxPool2d.forward):
        return False
    rows, columns = size = _pair(pool.kernel_size)
    plain = _pair(pool.stride) == size and _pair(pool.padding) == (0, 0) and _pair(pool.dilation) == (1, 1)
    return plain and not pool.return_indices and x.shape[2] % rows == 0 and x.shape[3] % columns == 0


def pooled(layer: nn.Module, pool: nn.Module, x: Tensor) -> Tensor:
    """Run `pooled_over_time` for two modules accepted by `can_pool`, within `unroll`, from the kept states."""
    assert isinstance(layer, SpikingLayer) and isinstance(pool, nn.MaxPool2d)

    def run(x: Tensor, lengths: Tensor | None, reset: Tensor | None) -> Tensor:
        return layer.keep(*pooled_over_time(layer, pool, x, layer.states_for(x), lengths, reset))

    return layer.unfolded(x, run)


def pooled_over_time(
    layer: SpikingLayer,
    pool: nn.MaxPool2d,
    x: Tensor,
    states: States | None,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
) -> tuple[Tensor, States]:
    """The pooled outputs ``[T, B, C, H / k, W / k]`` of x ``[T, B, C, H, W]``, and the last states of the layer: the
    numbers and gradients of `SpikingLayer.over_time` followed by the pooling. Pure.
    """
    layer.neuron_axis(x.shape[1:])
    memory, noise, stream = layer.with_noise(x, layer.checked_states(x, states))
    rows, columns = _pair(pool.kernel_size)
    windows = Windows(rows, columns, channels_last=x.stride(2) < x.stride(4))

    def cut(states: States) -> tuple[tuple[Tensor, ...], ...]:
        return tuple(zip(*(windows.cut(state, 0) for state in states), strict=True))

    y, last = neurons_over_time(
        partial(pooled_step, step=layer.step_of_tuples(), noisy=bool(noise)),
        windows.cut,
        x,
        noise,
        cut(memory),
        tuple(windows.parameter(value) for value in layer.values()),
        lengths=lengths,
        reset=reset,
        reset_to=None if reset is None else cut(layer.fresh_states(x)),
        checkpoint_every=layer.checkpoint_every(len(x)),
        backend=layer.backend,
    )
    memory = tuple(windows.join(leaves) for leaves in zip(*last, strict=True))
    return layer.in_dtype_of(x, windows.images(y)), (*memory, *stream)


def pooled_step(
    x: tuple[Any, ...],
    states: tuple[States, ...],
    params: States,
    *,
    step: Callable[..., tuple[Tensor, States]],
    noisy: bool,
) -> tuple[Tensor, tuple[States, ...]]:
    """One step of all neurons of a window, and the largest of their outputs; the first if several are equal."""
    inputs = zip(*x, strict=True) if noisy else x
    outputs, new = zip(*(step(each, state, params) for each, state in zip(inputs, states, strict=True)), strict=True)
    y = outputs[0]
    for other in outputs[1:]:
        y = torch.where((other > y) | (other != other), other, y)  # NaN stays NaN
    return y, new


class Windows(NamedTuple):
    """Images ``[..., C, H, W]`` split into one image for each position in a window,
    ``[..., C, H / rows, W / columns]``, with the channels first or last, as in the memory layout of the images.
    """

    rows: int
    columns: int
    channels_last: bool

    def cut(self, images: Tensor, lead: int) -> tuple[Tensor, ...]:
        """Split images ``[B, C, H, W]`` after ``lead`` axes into one tensor for each position."""
        places = _Cut.apply(images, self)
        shape = (images.shape[-3], images.shape[-2] // self.rows, images.shape[-1] // self.columns)
        order = shape[1:] + shape[:1] if self.channels_last else shape
        return tuple(place.unflatten(-1, order) for place in split_gates(places, self.rows * self.columns))

    def join(self, places: tuple[Tensor, ...]) -> Tensor:
        """The inverse of `cut`, ``[B, C, H, W]``."""
        cut = torch.stack([self.images(place) for place in places]).unflatten(0, (self.rows, self.columns))
        return cut.permute(2, 3, 4, 0, 5, 1).flatten(4, 5).flatten(2, 3)

    def images(self, place: Tensor) -> Tensor:
        """The image ``[..., C, H / rows, W / columns]``, with the channels in the order of torch."""
        return place.movedim(-1, -3) if self.channels_last else place

    def parameter(self, value: Tensor) -> Tensor:
        """Reshape one value per channel to broadcast over the image of a position; a scalar is unchanged."""
        return value if self.channels_last or value.dim() == 0 else value.view(-1, 1, 1)


class _Cut(torch.autograd.Function):
    """Split images ``[..., C, H, W]`` into the images of all positions in a window, along one axis."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, windows: Windows) -> Tensor:
        ctx.windows, ctx.like = windows, (images.shape, torch.empty_like(images, device="meta").stride())
        return _places(images, windows).flatten(images.dim() - 3)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # In the memory layout of the images, so that no copy is needed.
        images = gradient.new_empty_strided(*ctx.like)
        places = _places(images, ctx.windows)
        places.copy_(gradient.view(places.shape))
        return images, None


def _places(images: Tensor, windows: Windows) -> Tensor:
    """A view ``[..., rows, columns, *N]`` with the image of each position."""
    lead = images.dim() - 3
    cut = images.unflatten(-1, (-1, windows.columns)).unflatten(-3, (-1, windows.rows))
    channels, height, row, width, column = range(lead, lead + 5)
    order = (height, width, channels) if windows.channels_last else (channels, height, width)
    return cut.permute(*range(lead), row, column, *order)
