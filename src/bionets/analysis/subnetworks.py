"""Splits of a spatial network into one subnetwork for each task, by assigning neurons to tasks.

A split is a list of masks ``[tasks, neurons]``, one for each spatial layer. A mask is the factor of the output of a
neuron in the subnetwork of a task, from 0 to 1. Output unit u belongs to task u mod tasks.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from torch import Tensor, nn

from bionets.layers import SpatialLayer, spatial_layers
from bionets.layers.spatial.spatial_costs import connections

Split = list[Tensor]
NO_SINGLE_TASK = -1
METHODS = ("greedy", "probability", "rescale", "activations", "clusters")


def split(
    network: nn.Module, tasks: int, method: str = "greedy", *, activations: Sequence[Tensor] = (), seed: int = 0
) -> Split:
    """Compute the masks of one subnetwork for each task.

    The first three methods proceed backwards from the outputs. The strength of a neuron for a task is the sum of its
    outgoing |weights|, each times the mask of the target neuron for this task.

    - ``greedy``: a neuron belongs to the task for which its strength is highest.
    - ``probability``: a task keeps a neuron with probability strength / highest strength of that neuron for any task.
    - ``rescale``: every task keeps every neuron, scaled by the same ratio.
    - ``activations``: a neuron belongs to the task whose images activate it most, or to several tasks that activate it
      equally, as a neuron that is silent for all images.
    - ``clusters``: the positions of all neurons, including outputs, are divided by k-means into as many clusters as
      there are tasks, without using weights or data. Each task then gets one cluster, so that as many outputs as
      possible are in the cluster of their task.

    Args:
        network: a module with consecutive spatial layers without groups, of which the last has the outputs.
        tasks: number of tasks.
        activations: the result of `record`, for the method ``activations``.
        seed: seed of ``probability`` and ``clusters``.

    Raises:
        ValueError: the method is unknown, there are fewer than two tasks, or the outputs are not divisible among them.

    Source: Wołczyk et al., arXiv 1910.02776, and their code, whose documentation describes ``rescale`` and
    ``activations``; ``clusters`` is not from the source.
    """
    layers = spatial_layers(network)
    if not layers:
        raise ValueError(f"{type(network).__name__} has no spatial layers to split")
    outputs = len(layers[-1].positions)
    if tasks < 2 or outputs % tasks:
        raise ValueError(f"{outputs} outputs cannot be split among {tasks} tasks: train on two tasks or more")
    output_masks = _one_hot(torch.arange(outputs) % tasks, tasks)
    generator = torch.Generator().manual_seed(seed)
    rules: dict[str, Callable[[Tensor], Tensor]] = {
        "greedy": lambda strength: _one_hot(strength.argmax(0), tasks),
        "probability": lambda strength: torch.bernoulli(_ratio(strength), generator=generator),
        "rescale": _ratio,
    }
    if method in rules:
        return _backwards(layers, output_masks, rules[method])
    if method == "activations":
        if [each.shape[1] for each in activations] != [len(layer.positions) for layer in layers]:
            raise ValueError("the split by activations needs the recorded activations of this network")
        return [*((each == each.amax(0)).float() for each in activations[:-1]), output_masks]
    if method == "clusters":
        return [*_clusters(layers, output_masks, seed), output_masks]
    raise ValueError(f"methods={method} is unknown: choose {', '.join(METHODS)}")


def subnetwork(network: nn.Module, masks: Split, task: int, all_outputs: bool = False) -> nn.Module:
    """A copy of a network with only the parts that a task keeps.

    The outgoing weights of a neuron are multiplied by its mask; the incoming weights and the bias of a neuron with mask
    0 are zero. With ``all_outputs``, the outputs of the other tasks are also kept, and read the remaining neurons.
    """
    part = copy.deepcopy(network)
    layers = spatial_layers(part)
    kept = [mask[task].to(layer.weight) for mask, layer in zip(masks, layers, strict=True)]
    if all_outputs:
        kept[-1] = torch.ones_like(kept[-1])
    with torch.no_grad():
        for i, (layer, mask) in enumerate(zip(layers, kept, strict=True)):
            alive = mask.ne(0).to(mask)
            layer.weight.mul_(alive.view(-1, *[1] * (layer.weight.dim() - 1)))
            if isinstance(layer.bias, Tensor):
                layer.bias.mul_(alive)
            if i > 0:
                incoming = connections(layer.weight, len(kept[i - 1])) * kept[i - 1].view(1, -1, 1)
                layer.weight.copy_(incoming.view_as(layer.weight))
    return part


def owners(masks: Split) -> list[Tensor]:
    """The task with the highest mask of each neuron, ``[neurons]`` for each layer; -1 if several tasks share the neuron
    equally, as in a split by ``probability``, or if no task keeps it."""
    return [torch.where((mask == mask.amax(0)).sum(0) == 1, mask.argmax(0), NO_SINGLE_TASK) for mask in masks]


def _backwards(layers: Sequence[SpatialLayer], outputs: Tensor, rule: Callable[[Tensor], Tensor]) -> Split:
    masks = [outputs]
    for layer, before in zip(reversed(layers[1:]), reversed(layers[:-1]), strict=True):
        weights = connections(layer.weight.detach().float().cpu().abs(), len(before.positions)).sum(2)
        masks.insert(0, rule(masks[0] @ weights))
    return masks


def _ratio(strength: Tensor) -> Tensor:
    """``[tasks, neurons]`` divided by the maximum of each neuron; a neuron without connections belongs to no task."""
    highest = strength.amax(0)
    return torch.where(highest > 0, strength / highest, 0.0)


def _clusters(layers: Sequence[SpatialLayer], outputs: Tensor, seed: int) -> Split:
    sizes = [len(layer.positions) for layer in layers]
    positions = torch.cat([layer.positions.detach().cpu() for layer in layers]).double()
    tasks = len(outputs)
    found = torch.as_tensor(KMeans(tasks, n_init=10, random_state=seed).fit_predict(positions.numpy())).split(sizes)
    shared = _one_hot(found[-1].long(), tasks) @ outputs.T  # [clusters, tasks]: outputs of a task in a cluster
    clusters, names = linear_sum_assignment(shared.numpy(), maximize=True)
    name_of = torch.empty(tasks, dtype=torch.int64)
    name_of[torch.as_tensor(clusters)] = torch.as_tensor(names)
    return [_one_hot(name_of[each.long()], tasks) for each in found[:-1]]


def _one_hot(task: Tensor, tasks: int) -> Tensor:
    """Convert tasks ``[neurons]`` to masks ``[tasks, neurons]``."""
    return nn.functional.one_hot(task, tasks).T.float()
