"""Splits of a spatial network into one subnetwork for each task: which neurons belong to which.

A split is a list of masks, one ``[tasks, neurons]`` for each spatial layer: how much of a neuron's output a task's
subnetwork keeps, 1 for all of it, 0 for nothing. Output unit u belongs to task u mod tasks.
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
METHODS = ("greedy", "probability", "rescale", "activations", "clusters")


def split(
    network: nn.Module, tasks: int, method: str = "greedy", *, activations: Sequence[Tensor] = (), seed: int = 0
) -> Split:
    """The masks of one subnetwork for each task.

    The first three go from the outputs backwards. A neuron's strength for a task is the sum of its outgoing |weights|
    to the neurons of the next layer, each times what the task keeps of it.

    - ``greedy``: a neuron belongs to the task for which its strength is highest.
    - ``probability``: a task keeps a neuron with probability strength / highest strength of that neuron for any task.
    - ``rescale``: every task keeps every neuron, scaled by that ratio.
    - ``activations``: a neuron belongs to the task whose images drive it most.
    - ``clusters``: the positions of all neurons, outputs too, are parted into as many clusters as there are tasks
      (k-means), without a look at weights or data. A cluster is then named after the task of most outputs in it.

    Args:
        network: a module whose spatial layers follow each other, the last one being the outputs.
        tasks: how many there are.
        activations: what `record` gave, for the method of this name.
        seed: of ``probability`` and ``clusters``.

    Raises:
        ValueError: an unknown method, fewer than two tasks, or outputs that do not divide among them.

    Source: Wołczyk et al., arXiv 1910.02776, and their code, whose documentation says what ``rescale`` and
    ``activations`` are for; ``clusters`` is ours.
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
        return [*(_one_hot(each.argmax(0), tasks) for each in activations[:-1]), output_masks]
    if method == "clusters":
        return [*_clusters(layers, output_masks, seed), output_masks]
    raise ValueError(f"methods={method} is unknown: choose {', '.join(METHODS)}")


def subnetwork(network: nn.Module, masks: Split, task: int, all_outputs: bool = False) -> nn.Module:
    """A copy of a network in which only what a task keeps is left.

    Everything that leaves a neuron is multiplied by its mask, and what enters a neuron of mask 0 is cut: its weights
    and its bias are zero. With ``all_outputs`` the outputs of the other tasks stay too, and read what is left.
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
    """The task with the highest mask of each neuron, ``[neurons]`` for each layer."""
    return [mask.argmax(0) for mask in masks]


def _backwards(layers: Sequence[SpatialLayer], outputs: Tensor, rule: Callable[[Tensor], Tensor]) -> Split:
    masks = [outputs]
    for layer, before in zip(reversed(layers[1:]), reversed(layers[:-1]), strict=True):
        weights = connections(layer.weight.detach().cpu().abs(), len(before.positions)).sum(2)
        masks.insert(0, rule(masks[0] @ weights))
    return masks


def _ratio(strength: Tensor) -> Tensor:
    """``[tasks, neurons]`` over the highest of each neuron; one without any connection belongs to no task."""
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
    """``[neurons]`` as masks ``[tasks, neurons]``."""
    return nn.functional.one_hot(task, tasks).T.float()
