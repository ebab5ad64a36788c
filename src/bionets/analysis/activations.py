"""The activations of the neurons of a spatial network for the images of each task."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bionets.layers import spatial_layers
from bionets.layers.plain_calls import temporary_evaluation, temporary_hooks

REDUCTIONS = ("mean", "variance")
Batch = tuple[Tensor, ...]


@torch.no_grad()
def record(network: nn.Module, batches: Sequence[Iterable[Batch]], reduction: str = "variance") -> list[Tensor]:
    """The mean |activation|, or the variance of the activation, of every neuron for every task.

    The activation is the input of the next spatial layer, after the nonlinearity; for the last layer, it is the output.
    The statistics of a channel are over all its pixels.

    Args:
        network: a module with consecutive spatial layers.
        batches: for each task, batches ``(x, ...)`` of its images.
        reduction: ``mean`` or ``variance``.

    Returns:
        ``[tasks, neurons]`` for each spatial layer.

    Raises:
        ValueError: the reduction is unknown.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction={reduction} is unknown: choose {' or '.join(REDUCTIONS)}")
    with temporary_evaluation(network):
        each_task = [_moments(network, of_task) for of_task in batches]
    return [torch.stack([moments[reduction][i] for moments in each_task]) for i in range(len(each_task[0]["mean"]))]


def _moments(network: nn.Module, batches: Iterable[Batch]) -> dict[str, list[Tensor]]:
    layers = spatial_layers(network)
    sizes = [len(layer.positions) for layer in layers]
    sums = [torch.zeros(3, size, dtype=torch.float64) for size in sizes]
    counts = [0] * len(layers)

    def note(i: int, activation: Tensor) -> None:
        values = activation.detach().cpu().double().reshape(len(activation), sizes[i], -1)
        sums[i] += torch.stack([values.abs().sum((0, 2)), values.sum((0, 2)), values.square().sum((0, 2))])
        counts[i] += values.shape[0] * values.shape[2]

    def received_by(i: int) -> Any:
        return lambda layer, arguments: note(i - 1, arguments[0])

    hooks = [layer.register_forward_pre_hook(received_by(i)) for i, layer in enumerate(layers) if i > 0]
    hooks.append(layers[-1].register_forward_hook(lambda layer, arguments, output: note(len(layers) - 1, output)))
    device = layers[0].positions.device
    with temporary_hooks(hooks):
        for x, *_ in batches:
            network(x.to(device))
    means = [each / count for each, count in zip(sums, counts, strict=True)]
    return {
        "mean": [absolute.float() for absolute, _, _ in means],
        "variance": [(square - mean.square()).clamp(min=0).float() for _, mean, square in means],
    }
