"""Measures of the spatial clustering of the neurons of a task, compared with chance."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances, silhouette_score
from torch import nn

from bionets.analysis.subnetworks import NO_SINGLE_TASK, Split, owners
from bionets.layers import spatial_layers

Array = NDArray[np.floating]


class Measured(NamedTuple):
    """A measure of the positions, and its value by chance.

    Attributes:
        value: value for the tasks to which the neurons belong.
        chance: mean over random permutations of the tasks among the neurons of each layer.
        p: share of these permutations, including the identity, with at least this value.
    """

    value: float
    chance: float
    p: float


class TaskClusters(NamedTuple):
    """Both measures, of the neurons that belong to a single task (see `owners`); NaN if all belong to the same task.

    Attributes:
        silhouette: the mean over neurons of (b − a) / max(a, b), where a is the mean distance to the other neurons of
            the same task and b to the neurons of the nearest other task: 1 for tasks in compact, distant regions, 0 for
            no clusters.
        purity: see `neighbourhood_purity`; also high if each task has many small regions.
    """

    silhouette: Measured
    purity: Measured


def nearest_neurons(distances: Array, neighbours: int) -> NDArray[np.integer]:
    """The indices of the nearest other neurons of each neuron, `[N, neighbours]`, for distances `[N, N]`."""
    others = distances + np.diag(np.full(len(distances), np.inf))
    return np.argsort(others, axis=1, kind="stable")[:, :neighbours]


def neighbourhood_purity(nearest: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """The mean over neurons of the share of the nearest neurons with the same label."""
    return float((labels[nearest] == labels[:, None]).mean())


def task_clusters(
    network: nn.Module, masks: Split, neighbours: int = 10, permutations: int = 200, seed: int = 0
) -> TaskClusters:
    """Silhouette and neighbourhood purity of the positions of the neurons of a network, including outputs, by the tasks
    of a split, with permutation tests.

    Args:
        masks: a split, see `bionets.analysis.subnetworks.split`.
        neighbours: number of neighbours for `neighbourhood_purity`.
        permutations: number of permutations of the labels within each layer.
        seed: seed of the permutations.
    """
    owned = [each.numpy() for each in owners(masks)]
    layers = [each[each != NO_SINGLE_TASK] for each in owned]
    labels = np.concatenate(layers)
    if len(set(labels.tolist())) < 2:
        nothing = Measured(float("nan"), float("nan"), float("nan"))
        return TaskClusters(nothing, nothing)
    positions = [layer.positions.detach().cpu().double().numpy() for layer in spatial_layers(network)]
    distances = pairwise_distances(np.concatenate(positions)[np.concatenate(owned) != NO_SINGLE_TASK])
    np.fill_diagonal(distances, 0)
    nearest = nearest_neurons(distances, min(neighbours, len(labels) - 1))

    def both(labels: NDArray[np.integer]) -> tuple[float, float]:
        silhouette = silhouette_score(distances, labels, metric="precomputed")
        return float(silhouette), neighbourhood_purity(nearest, labels)

    random = np.random.default_rng(seed)
    value = both(labels)
    null = [both(np.concatenate([random.permutation(each) for each in layers])) for _ in range(permutations)]
    return TaskClusters(*(_against(*pair) for pair in zip(value, zip(*null, strict=True), strict=True)))


def _against(value: float, null: tuple[float, ...]) -> Measured:
    at_least = sum(each >= value for each in null)
    return Measured(value, float(np.mean(null)), (1 + at_least) / (1 + len(null)))
