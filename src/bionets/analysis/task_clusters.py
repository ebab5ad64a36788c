"""Measures of how far the neurons of one task lie together, against chance."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances, silhouette_score
from torch import nn

from bionets.analysis.subnetworks import Split, owners
from bionets.layers import spatial_layers

Array = NDArray[np.floating]


class Measured(NamedTuple):
    """A measure of the positions, and what chance gives.

    Attributes:
        value: of the tasks to which the neurons belong.
        chance: the mean over random permutations of these among the neurons of each layer.
        p: the share of such permutations with at least this value, itself included.
    """

    value: float
    chance: float
    p: float


class TaskClusters(NamedTuple):
    """Both measures; NaN where all neurons belong to one task.

    Attributes:
        silhouette: the mean over neurons of (b − a) / max(a, b), a being the mean distance to those of the own task
            and b to those of the other: 1 for tasks that lie in compact regions far from each other, 0 for none.
        purity: see `neighbourhood_purity`: high also where each task lies in many small regions.
    """

    silhouette: Measured
    purity: Measured


def nearest_neurons(distances: Array, neighbours: int) -> NDArray[np.integer]:
    """The indices of the nearest others of each neuron, `[N, neighbours]`, for distances `[N, N]`."""
    others = distances + np.diag(np.full(len(distances), np.inf))
    return np.argsort(others, axis=1, kind="stable")[:, :neighbours]


def neighbourhood_purity(nearest: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """The mean over neurons of the share of the nearest neurons that have the neuron's label."""
    return float((labels[nearest] == labels[:, None]).mean())


def task_clusters(
    network: nn.Module, masks: Split, neighbours: int = 10, permutations: int = 200, seed: int = 0
) -> TaskClusters:
    """Silhouette and neighbourhood purity of the positions of all neurons of a network, outputs included, by the task
    to which a split gives them; and their permutation tests.

    Args:
        masks: a split, see `bionets.analysis.subnetworks.split`.
        neighbours: of which `neighbourhood_purity` looks at the labels.
        permutations: of the labels within each layer.
        seed: of the permutations.
    """
    layers = [each.numpy() for each in owners(masks)]
    labels = np.concatenate(layers)
    if len(set(labels.tolist())) < 2:
        nothing = Measured(float("nan"), float("nan"), float("nan"))
        return TaskClusters(nothing, nothing)
    positions = [layer.positions.detach().cpu().double().numpy() for layer in spatial_layers(network)]
    distances = pairwise_distances(np.concatenate(positions))
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
