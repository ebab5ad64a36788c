"""Silhouette and purity on constructed positions: compact regions, many small regions, no regions."""

import numpy as np
import pytest
import torch
from torch import nn

from bionets.analysis.split_score import cluster_score
from bionets.analysis.task_clusters import nearest_neurons, neighbourhood_purity, task_clusters
from bionets.layers import SpatialLinear, spatial_layers

NEURONS = 40  # in each of two layers


def placed(centres: list[list[float]]) -> tuple[nn.Module, list[torch.Tensor]]:
    """A network whose neurons lie around the centres in turn, and a split that gives every other centre to one task."""
    torch.manual_seed(0)
    net = nn.Sequential(SpatialLinear(3, NEURONS), SpatialLinear(NEURONS, NEURONS))
    where = torch.arange(NEURONS) % len(centres)
    for layer in spatial_layers(net):
        layer.positions.data = torch.tensor(centres)[where] + 0.1 * torch.randn(NEURONS, 2)
    mask = nn.functional.one_hot(where % 2, 2).T.float()
    return net, [mask, mask]


def test_two_compact_regions_have_a_high_silhouette_and_are_pure() -> None:
    found = task_clusters(*placed([[0.0, 0.0], [10.0, 0.0]]))
    assert found.silhouette.value > 0.9 and found.purity.value == 1
    assert abs(found.silhouette.chance) < 0.1 and found.purity.chance == pytest.approx(0.5, abs=0.05)
    assert found.silhouette.p == found.purity.p == 1 / 201


def test_many_small_regions_have_high_purity_and_no_silhouette() -> None:
    centres = [[10.0 * (k % 4), 10.0 * (k // 4)] for k in (0, 1, 5, 4, 2, 3, 7, 6)]  # a chess board
    found = task_clusters(*placed(centres), neighbours=5)
    assert abs(found.silhouette.value) < 0.1
    assert found.purity.value == 1 and found.purity.p < 0.01


def test_random_positions_have_silhouette_and_purity_at_chance() -> None:
    net, masks = placed([[0.0, 0.0], [0.0, 0.0]])
    found = task_clusters(net, masks)
    assert found.purity.p > 0.05 and found.purity.value == pytest.approx(found.purity.chance, abs=0.1)
    assert found.silhouette.value == pytest.approx(cluster_score(net, masks), abs=1e-5)


def test_permutations_keep_the_task_shares_of_each_layer() -> None:
    net, _ = placed([[0.0, 0.0], [10.0, 0.0]])
    first, second = (torch.zeros(2, NEURONS) for _ in range(2))
    first[0], second[1] = 1, 1  # each layer belongs to one task: nothing can be permuted
    found = task_clusters(net, [first, second])
    assert found.purity.value == pytest.approx(found.purity.chance) and found.purity.p == 1


def test_neurons_of_several_tasks_are_left_out() -> None:
    net, (mask, _) = placed([[0.0, 0.0], [10.0, 0.0]])
    shared = mask.clone()
    shared[:, 1::4] = 1  # far from the neurons of the first task
    found = task_clusters(net, [shared, mask])
    assert found.silhouette.value > 0.9 and found.purity.value == 1
    assert cluster_score(net, [shared, mask]) == pytest.approx(found.silhouette.value, abs=1e-5)


def test_the_purity_of_a_single_task_is_nan() -> None:
    net, (mask, _) = placed([[0.0, 0.0]])
    assert np.isnan(task_clusters(net, [mask, mask]).purity.value)


def test_the_purity_is_the_share_of_equal_neighbours() -> None:
    places = np.array([0.0, 1.0, 2.1, 10.0])
    distances, labels = np.abs(places[:, None] - places), np.array([0, 0, 1, 1])
    assert neighbourhood_purity(nearest_neurons(distances, 1), labels) == 0.75  # of 2.1 the nearest is 1.0
    assert neighbourhood_purity(nearest_neurons(distances, 3), labels) == pytest.approx(1 / 3)
