"""Splits separate two independent networks within one, and subnetworks follow their masks."""

import copy
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from sklearn.metrics import silhouette_score
from torch import Tensor, nn

from bionets.analysis import spatial_plots, split_plots
from bionets.analysis.activations import record
from bionets.analysis.spatial_plots import draw_activations, draw_animation, draw_positions
from bionets.analysis.split_plots import draw_splits
from bionets.analysis.split_score import accuracies, cluster_score, score
from bionets.analysis.style import BLUE, ORANGE, STYLES, save
from bionets.analysis.subnetworks import METHODS, NO_SINGLE_TASK, owners, split, subnetwork
from bionets.layers import SpatialConv2d, SpatialLinear, spatial_layers

TASKS, LABELS = 2, 3
OWNERS = [torch.tensor([0, 1, 0, 1]), torch.tensor([1, 1, 0, 0, 1, 0]), torch.arange(LABELS * TASKS) % TASKS]


def network(convolutional: bool = False) -> nn.Sequential:
    """Two nets in one: every connection between neurons of different tasks is zero; each task has its place."""
    torch.manual_seed(0)
    first: list[nn.Module] = [nn.Flatten(), SpatialLinear(2 * 25, 4), nn.ReLU()]
    if convolutional:
        first = [SpatialConv2d(2, 4, 3, stride=2), nn.ReLU(), nn.Flatten()]
    net = nn.Sequential(*first, SpatialLinear(4 * (4 if convolutional else 1), 6), nn.ReLU(), SpatialLinear(6, 6))
    layers = spatial_layers(net)
    with torch.no_grad():
        for i, (layer, task_of) in enumerate(zip(layers, OWNERS, strict=True)):
            for parameter in (layer.weight, layer.bias):
                parameter.abs_()  # so that no neuron is silent
            layer.positions.copy_(0.1 * layer.positions + 4.0 * task_of.unsqueeze(1))
            before = OWNERS[i - 1] if i else None
            if before is None:  # channel t of the image is task t's
                channels = layer.weight.view(4, 2, -1)
                channels.mul_((task_of.unsqueeze(1) == torch.arange(2)).unsqueeze(2))
            else:
                same = task_of.unsqueeze(1) == before
                layer.weight.view(len(task_of), len(before), -1).mul_(same.unsqueeze(2))
    return net


def images(shown: int | None = None, size: int = 40) -> tuple[Tensor, Tensor]:
    """Images with a channel for each task, of which only one may be shown, and the labels that the network gives."""
    x = torch.rand(size, TASKS, 5, 5, generator=torch.Generator().manual_seed(1))
    if shown is not None:
        x[:, 1 - shown] = 0
    return x, torch.zeros(size, TASKS, dtype=torch.int64)


@pytest.mark.parametrize("convolutional", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_separates_two_independent_networks(method: str, convolutional: bool) -> None:
    net = network(convolutional)
    activations = record(net, [[images(0)], [images(1)]], "variance")
    masks = split(net, TASKS, method, activations=activations)
    assert [mask.shape for mask in masks] == [(TASKS, len(each)) for each in OWNERS]
    for found, true in zip(owners(masks), OWNERS, strict=True):
        assert torch.equal(found, true)
    x, _ = images()
    for task in range(TASKS):
        part = subnetwork(net, masks, task)
        torch.testing.assert_close(part(x)[:, task::TASKS], net(x)[:, task::TASKS])
        assert part(x)[:, 1 - task :: TASKS].eq(0).all()
    assert cluster_score(net, masks) > 0.8


def naive_strength(net: nn.Module, layer: int, masks: list[Tensor], task: int, neuron: int) -> float:
    weight = spatial_layers(net)[layer + 1].weight
    return sum(masks[layer + 1][task, i].item() * abs(weight[i, neuron].item()) for i in range(len(weight)))


def mixed() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(SpatialLinear(5, 7), nn.Sigmoid(), SpatialLinear(7, 5), nn.Sigmoid(), SpatialLinear(5, 6))


@pytest.mark.parametrize("method", ["greedy", "probability", "rescale"])
def test_masks_follow_from_the_sum_of_outgoing_weights(method: str) -> None:
    net = mixed()
    masks = split(net, 3, method, seed=5)
    assert torch.equal(owners(masks)[-1], torch.arange(6) % 3)
    for layer, neurons in enumerate((7, 5)):
        for neuron in range(neurons):
            strengths = [naive_strength(net, layer, masks, task, neuron) for task in range(3)]
            kept = masks[layer][:, neuron].tolist()
            ratios = [strength / max(strengths) for strength in strengths]
            if method == "greedy":
                assert kept == [float(ratio == 1.0) for ratio in ratios]
            elif method == "rescale":
                assert kept == pytest.approx(ratios)
            else:
                assert set(kept) <= {0.0, 1.0} and kept[ratios.index(1.0)] == 1.0


@pytest.mark.parametrize("method", ["probability", "rescale"])
def test_a_neuron_without_outgoing_weights_belongs_to_no_task(method: str) -> None:
    net = mixed()
    with torch.no_grad():
        spatial_layers(net)[1].weight[:, 2] = 0
    masks = split(net, 3, method)
    assert masks[0][:, 2].tolist() == [0.0] * 3 and owners(masks)[0][2] == NO_SINGLE_TASK
    assert all(mask.isfinite().all() for mask in masks)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_every_precision_are_split(dtype: torch.dtype) -> None:
    net = mixed().to(dtype)
    same = copy.deepcopy(net).float()
    batches = [[(torch.randn(20, 5, dtype=dtype),)] for _ in range(3)]
    for method in METHODS:
        activations = record(net, batches) if method == "activations" else ()
        masks, expected = (split(each, 3, method, activations=activations) for each in (net, same))
        assert all(torch.equal(mask, other) for mask, other in zip(masks, expected, strict=True)), method
        assert cluster_score(net, masks) == pytest.approx(cluster_score(same, masks), abs=1e-6)


def test_probability_keeps_a_neuron_as_often_as_its_ratio() -> None:
    net = mixed()
    last_hidden = split(net, 3, "rescale")[1]
    often = torch.stack([split(net, 3, "probability", seed=seed)[1] for seed in range(300)]).mean(0)
    assert (often - last_hidden).abs().max() < 0.12


def test_a_neuron_of_several_tasks_or_of_none_has_no_owner() -> None:
    masks = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.6], [0.0, 1.0, 0.0, 1.0, 1.0]])
    assert owners([masks])[0].tolist() == [0, -1, -1, 1, 1]


def test_masked_neurons_have_no_effect_for_any_activation() -> None:
    net, x = mixed(), torch.randn(9, 5)
    masks = split(net, 3, "rescale")
    masks[0][1, 2] = 0.0
    part = subnetwork(net, masks, 1)
    first, second, third = spatial_layers(net)
    hidden = torch.sigmoid(first(x)) * masks[0][1]
    hidden = torch.sigmoid(second(hidden)) * masks[1][1]
    torch.testing.assert_close(part(x), third(hidden) * masks[2][1])
    everything = subnetwork(net, masks, 1, all_outputs=True)
    torch.testing.assert_close(everything(x), third(hidden))
    assert spatial_layers(part)[0].weight[2].eq(0).all() and spatial_layers(part)[0].bias[2] == 0
    assert torch.equal(first.weight, spatial_layers(mixed())[0].weight)


@pytest.mark.parametrize("convolutional", [False, True])
def test_record_gives_mean_and_variance_of_the_input_of_the_next_layer(convolutional: bool) -> None:
    net = network(convolutional)
    parts = [images(0)[0], images(1)[0]]
    seen = [[], [], []]
    for x in parts:
        stop = [2, 4, 6] if not convolutional else [1, 4, 5]
        seen[0].append(net[: stop[0] + 1](x))
        seen[1].append(net[:5](x))
        seen[2].append(net(x))
    mean = record(net, [[(x[:7],), (x[7:],)] for x in parts], "mean")
    variance = record(net, [[(x[:7],), (x[7:],)] for x in parts], "variance")
    for i in range(3):
        for task in range(TASKS):
            values = seen[i][task]
            dims = (0, 2, 3) if values.dim() == 4 else (0,)
            torch.testing.assert_close(mean[i][task], values.abs().mean(dims))
            torch.testing.assert_close(variance[i][task], values.var(dims, correction=0), atol=1e-6, rtol=1e-4)
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in spatial_layers(net))


def test_every_subnetwork_is_scored_on_every_task() -> None:
    net, (x, _) = network(), images()
    target = net(x).unflatten(1, (LABELS, TASKS)).argmax(1)
    target[:5, 0] = -1  # not shown
    masks = split(net, TASKS)
    assert accuracies(net, [(x, target)], TASKS) == [1.0, 1.0]
    rows = {(row.subnetwork, row.task): row for row in score(net, masks, [(x, target)], ["a", "b"])}
    chance = [(target[:, task] == 0).sum() / (target[:, task] >= 0).sum() for task in range(TASKS)]
    for own, other, share in (("a", "b", chance[1]), ("b", "a", chance[0])):
        assert rows[own, own].accuracy == rows[own, own].retention == rows[own, own].through_outputs == 1.0
        assert rows[own, other].accuracy == pytest.approx(share.item())
        blind = subnetwork(net, masks, "ab".index(own), all_outputs=True)
        read = accuracies(blind, [(x, target)], TASKS)["ab".index(other)]
        assert rows[own, other].through_outputs == read


def test_retention_is_relative_to_the_accuracy_of_the_whole_network_on_the_same_task() -> None:
    net, (x, _) = network(), images()
    target = net(x).unflatten(1, (LABELS, TASKS)).argmax(1)
    target[:10, 0] = (target[:10, 0] + 1) % LABELS  # 10 of 40 labels that the network does not give
    own = [row for row in score(net, split(net, TASKS), [(x, target)], ["a", "b"]) if row.subnetwork == row.task]
    assert [(row.accuracy, row.retention) for row in own] == [(0.75, 1.0), (1.0, 1.0)]


@pytest.mark.parametrize("batch", [torch.ones(4, 3), torch.ones(4, 99)], ids=["right", "wrong"])
def test_record_and_accuracies_keep_the_mode_of_every_module(batch: Tensor) -> None:
    net = nn.Sequential(SpatialLinear(3, 6), nn.Dropout(), nn.Sequential(nn.Dropout(), SpatialLinear(6, 4)))
    net[2].eval()
    before = [module.training for module in net.modules()]
    with nullcontext() if batch.shape[1] == 3 else pytest.raises(RuntimeError):
        record(net, [[(batch,)]])
    with nullcontext() if batch.shape[1] == 3 else pytest.raises(RuntimeError):
        accuracies(net, [(batch, torch.zeros(4, TASKS))], TASKS)
    assert [module.training for module in net.modules()] == before == [True, True, True, False, False, False]


def test_neurons_of_several_tasks_do_not_count_in_the_cluster_score() -> None:
    net = network()
    masks = split(net, TASKS)
    masks[0][:, 0] = 1.0
    masks[1][:, 2:4] = 0.0
    labels = torch.cat(OWNERS)
    kept = [n for n in range(len(labels)) if n not in (0, 4 + 2, 4 + 3)]
    positions = torch.cat([layer.positions.detach() for layer in spatial_layers(net)])[kept]
    assert cluster_score(net, masks) == pytest.approx(silhouette_score(positions, labels[kept]), abs=1e-6)


def test_the_cluster_score_is_nan_for_one_owner_and_near_zero_for_random_positions() -> None:
    net = mixed()
    alone = [torch.stack([torch.ones(n), torch.zeros(n)]) for n in (7, 5, 6)]
    assert np.isnan(cluster_score(net, alone))
    assert abs(cluster_score(net, split(net, 2))) < 0.3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: split(mixed(), 2, "greediest"), "methods=greediest"),
        (lambda: split(mixed(), 1), "cannot be split among 1"),
        (lambda: split(mixed(), 4), "cannot be split among 4"),
        (lambda: split(nn.Linear(2, 2), 2), "no spatial layers"),
        (lambda: split(mixed(), 2, "activations"), "recorded activations"),
        (lambda: record(mixed(), [[(torch.rand(3, 5),)]], "median"), "reduction=median"),
    ],
)
def test_invalid_arguments_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_silent_neuron_belongs_to_no_single_task_by_its_activations() -> None:
    net = network()
    silent = spatial_layers(net)[0]
    with torch.no_grad():
        silent.weight[0], silent.bias[0] = 0, -1  # type: ignore[index]
    batches = [[images(0)], [images(1)]]
    for reduction in ("mean", "variance"):
        masks = split(net, TASKS, "activations", activations=record(net, batches, reduction))
        assert owners(masks)[0].tolist() == [NO_SINGLE_TASK, *OWNERS[0][1:].tolist()]


def test_figures_of_subnetworks_are_drawn(tmp_path: Path) -> None:
    net = network()
    masks, names = split(net, TASKS), ["a", "b"]
    activations = record(net, [[images(0)], [images(1)]])
    moves = {f"layer_{i}": np.random.default_rng(0).normal(size=(3, len(each), 2)) for i, each in enumerate(OWNERS)}
    film = draw_animation(tmp_path / "new" / "film.gif", {"epoch": np.arange(3), **moves}, masks, names, "title")
    assert film.read_bytes().startswith(b"GIF89a")
    bars = {
        each: {"greedy": (0.5, 0.1)} for each in ("retention", "other, through its outputs", "silhouette", "purity")
    }
    pictures = [
        draw_positions(tmp_path / "positions.png", net, masks, names, "title"),
        draw_positions(tmp_path / "shared.png", net, [torch.ones_like(mask) for mask in masks], names, "title"),
        draw_activations(tmp_path / "activations.png", net, activations, names, "title"),
        draw_splits(tmp_path / "splits", {"mix": {"without costs": bars}}, ["greedy"]),
    ]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in pictures)
    assert (tmp_path / "splits.svg").exists()


def test_a_connection_of_a_neuron_without_a_single_task_is_not_one_between_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hidden neuron is connected with each output; of the hidden neurons, one belongs to both tasks."""
    drawn: list[Figure] = []
    monkeypatch.setattr(spatial_plots, "save", lambda *figure: drawn.append(figure[0]) or save(*figure))
    net = nn.Sequential(SpatialLinear(5, 3), nn.ReLU(), SpatialLinear(3, TASKS))
    masks = [torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]), torch.eye(TASKS)]
    draw_positions(tmp_path / "positions.png", net, masks, ["a", "b"], "")
    (lines,) = (each for each in drawn[0].axes[1].collections if isinstance(each, LineCollection))
    colours = [to_hex(colour) for colour in lines.get_colors()]
    between, shared = to_hex("black"), to_hex(STYLES["paper"]["grid.color"])
    assert Counter(colours) == {BLUE.lower(): 1, ORANGE.lower(): 1, between: 2, shared: 2}


def test_the_figure_of_splits_shows_the_whole_bar_of_a_subnetwork_better_than_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(split_plots, "save", lambda *figure: drawn.append(figure[0]) or save(*figure))
    quantities = ("retention", "other, through its outputs", "silhouette", "purity")
    panels = {
        name: {"without costs": {each: {"greedy": (value, 0.1)} for each in quantities}}
        for name, value in (("mix", 1.6), ("sequential", 0.5))
    }
    draw_splits(tmp_path / "splits", panels, ["greedy"])
    for axes in drawn[0].axes[:4]:  # both presentations of the two rows with goals
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] > 1.7


@pytest.mark.parametrize(("error", "title"), [(0.1, "mean ± standard error"), (0.0, "")])
def test_the_figure_of_splits_says_what_its_errors_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: float, title: str
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(split_plots, "save", lambda *figure: drawn.append(figure[0]) or save(*figure))
    quantities = ("retention", "other, through its outputs", "silhouette", "purity")
    draw_splits(
        tmp_path / "splits", {"mix": {"all runs": {each: {"greedy": (0.5, error)} for each in quantities}}}, ["greedy"]
    )
    assert drawn[0].get_suptitle() == title
