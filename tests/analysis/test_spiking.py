"""Recorded activity of spiking networks, operation counts against a naive count, and figures."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from bionets.analysis import spiking_figures
from bionets.analysis.spiking_activity import SpikeRate, SynapticOperations, fires, synaptic_operations, trace_activity
from bionets.analysis.spiking_figures import draw_membranes, draw_parameters, draw_raster
from bionets.analysis.style import save
from bionets.layers import DelayedLinear, get_states, reset_states, unroll
from bionets.layers.spiking import DSLIT, LI, LIB, LIT, FullyRecurrent, SpikingLayer


def network() -> nn.Sequential:
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 2, 3, padding=1)
    nn.init.uniform_(convolution.weight, 0, 0.3)
    return nn.Sequential(
        convolution,
        LIB(2, dim=-3, threshold=0.3, spike_fn="arctan"),
        nn.Flatten(),
        nn.Linear(32, 5),
        DSLIT(5, pos_threshold=0.1, neg_threshold=0.1, quant_fn="round"),
        nn.Linear(5, 3),
        LI(3),
    )


@pytest.fixture
def x() -> Tensor:
    return torch.rand(6, 4, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_a_trace_holds_all_outputs_and_states_and_does_not_change_the_network(x: Tensor) -> None:
    net = network()
    net(x[0])
    kept = {name: state.clone() for name, state in get_states(net).items()}
    activity = trace_activity(net, x)
    assert set(activity) == {"1", "4", "6"}
    torch.testing.assert_close(get_states(net), kept)
    reset_states(net)
    torch.testing.assert_close(activity["6"].output, unroll(net, x))
    for path, each in activity.items():
        for name, states in each.states.items():
            torch.testing.assert_close(states[-1], getattr(net.get_submodule(path), name))
    assert activity["1"].output.shape == (6, 4, 2, 4, 4) and activity["1"].output.any()


def test_a_user_layer_counts_as_firing_if_it_has_a_threshold() -> None:
    layer = SpikingLayer(3)
    assert not fires(layer) and not fires(LI(3)) and fires(LIB(3)) and fires(FullyRecurrent(LIB(3)))
    layer.add_parameter("limit", 0.5, "threshold")
    assert fires(layer)


def test_the_spike_rate_is_the_share_of_outputs_that_are_spikes(x: Tensor) -> None:
    net, metric = network(), SpikeRate(unroll)
    outputs = [trace_activity(net, part)[path].output for part in (x[:, :3], x[:, 3:]) for path in ("1", "4")]
    for part in (x[:, :3], x[:, 3:]):
        reset_states(net)
        metric.update(net, part)
    spikes = sum(int((output != 0).sum()) for output in outputs)
    assert 0 < spikes < sum(output.numel() for output in outputs)
    assert metric.compute().item() == pytest.approx(spikes / sum(output.numel() for output in outputs))


@pytest.mark.parametrize(
    "layer", [nn.Linear(4, 3), nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Conv2d(2, 4, 2, groups=2)]
)
def test_synaptic_operations_equal_a_naive_count(layer: nn.Module) -> None:
    """Changing one input changes as many outputs as it has synapses, since no random weight is 0."""
    x = (torch.rand(1, *((4,) if isinstance(layer, nn.Linear) else (2, 5, 4))) < 0.4).float()
    x.view(-1)[0] = 1  # at least one spike
    places = x.nonzero().tolist()
    synapses = 0
    for place in places:
        changed = x.clone()
        changed[tuple(place)] = 1.5
        synapses += int((layer(changed) != layer(x)).sum())
    assert synapses > 0 and synaptic_operations(layer, x).item() == synapses


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_synaptic_operations_are_exact_in_every_precision(dtype: torch.dtype) -> None:
    layer, x = nn.Conv2d(64, 2, 3).to(dtype), torch.ones(1, 64, 3, 3, dtype=dtype)
    x[0, 0, 0, 0] = 0
    assert synaptic_operations(layer, x).item() == 2 * (64 * 9 - 1)


def test_spikes_count_as_accumulates_and_other_inputs_as_multiplies(x: Tensor) -> None:
    net, metric = network(), SynapticOperations(unroll, batch_dim=1)
    metric.update(net, x)
    reset_states(net)
    activity = trace_activity(net, x)
    found = metric.compute()
    assert found["multiplies"].item() == pytest.approx(6 * 2 * (3 * 4 - 2) ** 2)  # of each image: no pixel is 0
    spikes = [5 * activity["1"].output.count_nonzero(), 3 * activity["4"].output.count_nonzero()]
    assert found["accumulates"].item() == pytest.approx(float(sum(spikes)) / 4)
    nanojoules = (0.9 * found["accumulates"] + 4.6 * found["multiplies"]) / 1000
    torch.testing.assert_close(found["nanojoules"], nanojoules)


def test_one_number_among_spikes_makes_all_uses_multiplies() -> None:
    layer, found = nn.Linear(3, 5), {}
    for name, x in (("spikes", [1.0, -1.0, 0.0]), ("numbers", [1.0, 0.5, 0.0])):
        metric = SynapticOperations()
        metric.update(layer, torch.tensor([x]))
        found[name] = {key: int(value) for key, value in metric.compute().items() if key != "nanojoules"}
    assert found["spikes"] == {"accumulates": 10, "multiplies": 0}
    assert found["numbers"] == {"accumulates": 0, "multiplies": 10}


def test_spikes_of_a_fully_recurrent_layer_reach_all_its_neurons() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), FullyRecurrent(LIB(5, threshold=0.2, quant_fn="round")))
    x, rate, operations = torch.ones(8, 2, 3), SpikeRate(unroll), SynapticOperations(unroll, batch_dim=1)
    activity = trace_activity(net, x)
    assert set(activity) == {"1"}
    spikes = activity["1"].output.count_nonzero().item()
    rate.update(net, x)
    reset_states(net)
    operations.update(net, x)
    assert 0 < rate.compute().item() == pytest.approx(spikes / (8 * 2 * 5))
    assert operations.compute()["accumulates"].item() == pytest.approx((5 * spikes + 8 * 2 * 3 * 5) / 2)


def test_a_spike_is_counted_once_for_each_synapse_for_any_delays() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(DelayedLinear(3, 5, max_delay=4, sigma=2.0), LIB(5, quant_fn="round"), nn.Linear(5, 2))
    x = torch.zeros(8, 2, 3)
    x[0, 0, 1] = x[2, 1, 0] = x[2, 1, 2] = x[5, 0, 2] = 1  # 4 spikes, each to 5 neurons
    metric, sent = SynapticOperations(unroll, batch_dim=1), trace_activity(net, x)["1"].output.count_nonzero()
    metric.update(net, x)
    found = metric.compute()
    assert found["accumulates"].item() == (4 * 5 + 2 * sent) / 2
    assert found["multiplies"].item() == 0


@pytest.mark.parametrize("size", [1, 3, 12])
def test_whether_a_layer_multiplies_does_not_depend_on_the_batches(size: int) -> None:
    """One sample has an input that is not a spike; in batches without it, the first layer was said to accumulate."""
    torch.manual_seed(0)
    net, metric = nn.Sequential(nn.Linear(3, 5), LIB(5, spike_fn="arctan")), SynapticOperations(unroll, batch_dim=1)
    x = torch.randint(0, 2, (6, 12, 3)).float()
    x[2, 7, 1] = 2
    for batch in x.split(size, 1):
        reset_states(net)
        metric.update(net, batch)
    found = {name: float(value) for name, value in metric.compute().items()}
    uses = 5 * int(x.count_nonzero()) / 12
    assert found == pytest.approx({"accumulates": 0, "multiplies": uses, "nanojoules": 4.6e-3 * uses})


def test_operations_on_a_time_invariant_input_are_counted_once(x: Tensor) -> None:
    still = x[:1].expand(6, *x.shape[1:])
    counts = []
    for seen in (still, still.contiguous()):
        net, metric = network(), SynapticOperations(unroll, batch_dim=1)
        metric.update(net, seen)
        counts.append(metric.compute()["multiplies"].item())
    assert counts[1] == 6 * counts[0]


def test_raster_membranes_and_parameters_are_drawn(x: Tensor, tmp_path: Path) -> None:
    net = network()
    activity = trace_activity(net, x)
    files = [
        draw_raster(tmp_path / "figures" / "raster.png", net, activity, "title"),
        draw_membranes(tmp_path / "figures" / "membranes.png", net, activity, "title"),
        draw_parameters(tmp_path / "figures" / "parameters.png", net, "title"),
    ]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_membranes_of_silent_neurons_are_those_that_change_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def note_and_save(figure: Figure, *others: Any) -> Path:
        drawn.extend(line.get_ydata()[-1] for line in figure.axes[0].lines if len(line.get_ydata()) == 5)
        return save(figure, *others)

    monkeypatch.setattr(spiking_figures, "save", note_and_save)
    net = nn.Sequential(LIB(6, spike_fn="arctan", beta=0.5, threshold=100.0))
    activity = trace_activity(net, torch.tensor([0.0, 0, 0, 3, 0, 5]).expand(5, 1, 6))
    draw_membranes(tmp_path / "membranes.png", net, activity, "title")
    last = 2 * (1 - 0.5**5)
    assert drawn == pytest.approx([5 * last, 3 * last, 0, 0], rel=1e-4)


def test_labels_of_equal_thresholds_are_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gaps: list[float] = []

    def measure_and_save(figure: Figure, *others: Any) -> Path:
        figure.draw_without_rendering()
        for axes in figure.axes:
            labels = [label.get_window_extent() for label in axes.get_xticklabels()]
            gaps.extend(right.x0 - left.x1 for left, right in pairwise(labels))
        return save(figure, *others)

    monkeypatch.setattr(spiking_figures, "save", measure_and_save)
    draw_parameters(tmp_path / "parameters.png", nn.Sequential(LIT(3), LI(3)), "title")
    assert min(gaps) > 5  # pixels, the width of a digit


def test_operations_of_pruned_and_parametrised_weights_are_counted(x: Tensor) -> None:
    net, found = network(), []
    changes = (
        lambda: None,
        lambda: prune.custom_from_mask(net[3], "weight", torch.ones(5, 32)),
        lambda: parametrizations.weight_norm(net[5]),
    )
    for change in changes:
        change()
        reset_states(net)
        metric = SynapticOperations(unroll, batch_dim=1)
        metric.update(net, x)
        found.append({name: float(value) for name, value in metric.compute().items()})
    assert found[0]["nanojoules"] > 0 and found[1] == found[0] and found[2] == found[0]
