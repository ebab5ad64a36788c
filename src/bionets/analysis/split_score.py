"""Scores of the subnetworks of a split: their accuracies on each task, and the silhouette of the positions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from sklearn.metrics import silhouette_score
from torch import Tensor, nn

from bionets.analysis.subnetworks import NO_SINGLE_TASK, Split, owners, subnetwork
from bionets.layers import spatial_layers
from bionets.layers.plain_calls import temporary_evaluation


@dataclass(frozen=True)
class Score:
    """The score of one subnetwork on one task.

    ``accuracy`` uses only the outputs of the subnetwork's task; the outputs of other tasks are cut, so that their
    accuracy is chance. ``through_outputs`` is the accuracy if the outputs of the scored task are kept and read the
    hidden neurons of the subnetwork: it measures the information about the task in these neurons. ``retention`` is
    accuracy / accuracy of the whole network, NaN if the latter is 0.
    """

    subnetwork: str
    task: str
    accuracy: float
    retention: float
    through_outputs: float


def score(
    network: nn.Module, masks: Split, batches: Iterable[tuple[Tensor, Tensor]], names: Sequence[str]
) -> list[Score]:
    """The scores of every subnetwork of a split on every task, for the ``names`` of the tasks. See `accuracies` for
    batches."""
    batches = list(batches)
    whole = accuracies(network, batches, len(names))
    scores = []
    for kept, name in enumerate(names):
        own = accuracies(subnetwork(network, masks, kept), batches, len(names))
        read = accuracies(subnetwork(network, masks, kept, all_outputs=True), batches, len(names))
        kept_of = [part / all_ if all_ else float("nan") for part, all_ in zip(own, whole, strict=True)]
        scores += [Score(name, names[t], own[t], kept_of[t], read[t]) for t in range(len(names))]
    return scores


@torch.no_grad()
def accuracies(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], tasks: int) -> list[float]:
    """For each task, the share of images whose label has the highest score among the outputs of the task.

    Args:
        batches: (x, target) with targets ``[B, tasks]``, -1 if a task is not shown; predictions are reshaped to
            ``[B, labels, tasks]``.
    """
    device = next(network.parameters()).device
    right, shown = torch.zeros(tasks), torch.zeros(tasks)
    with temporary_evaluation(network):
        for x, target in batches:
            chosen = network(x.to(device)).unflatten(1, (-1, tasks)).argmax(1).cpu()
            right += (chosen == target).sum(0)
            shown += (target >= 0).sum(0)
    return (right / shown).tolist()


def cluster_score(network: nn.Module, masks: Split) -> float:
    """The mean silhouette, from -1 to 1, of the positions of all neurons that belong to a single task, including
    outputs, where the clusters are the tasks of a split. NaN if all neurons belong to one task.
    """
    labels = torch.cat(owners(masks)).numpy()
    positions = torch.cat([layer.positions.detach().cpu().double() for layer in spatial_layers(network)]).numpy()
    owned = labels != NO_SINGLE_TASK
    if len(set(labels[owned].tolist())) < 2:
        return float("nan")
    return float(silhouette_score(positions[owned], labels[owned]))
