"""A presentation is recorded step by step, and the network itself does not change."""

from pathlib import Path

import pytest
import torch
from matplotlib.axes import Axes
from torch import Tensor

from bionets.analysis import presentation
from bionets.analysis.presentation import draw_presentation, trace_presentation
from bionets.layers import get_states
from bionets.layers.plastic import LIF, MSTDPET, Input, LateralInhibition, Linear, LinearDynamics, Network, PairSTDP


@pytest.fixture
def x() -> Tensor:
    return torch.rand(30, 1, 6, generator=torch.Generator().manual_seed(0)) < 0.4


def network_of(rule: str) -> Network:
    network, trace = Network(), LinearDynamics(0.9)
    network.add("input", Input(6, trace=trace))
    network.add("output", LIF(3, LinearDynamics(0.8), trace=trace))
    weight = torch.rand(6, 3, generator=torch.Generator().manual_seed(1))
    learnt = network.connect("input", "output", Linear(6, 3, weight=weight))
    network.connect("output", "output", LateralInhibition(3, -0.5))
    network.add_rule(PairSTDP([learnt], 0.05, 0.02) if rule == "stdp" else MSTDPET([learnt], rate=0.05))
    return network.eval()


def test_a_traced_presentation_equals_that_of_a_learning_network(x: Tensor) -> None:
    network = network_of("stdp")
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    found = trace_presentation(network, x)
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())
    assert not network.training
    assert not get_states(network) or all(state is None for state in get_states(network).values())

    network.train()
    before = network.connections["input_output"].weight.clone()
    spikes = network(x)["output"]
    after = network.connections["input_output"].weight
    assert torch.equal(found.spikes["output"], spikes[:, 0])
    assert torch.equal(found.spikes["input"], x[:, 0])
    torch.testing.assert_close(found.traces["output"][-1], network.neurons["output"].trace[0])
    places = (after - before).abs().flatten().topk(4).indices
    torch.testing.assert_close(found.weights["input_output"][0], before.flatten()[places])
    torch.testing.assert_close(found.weights["input_output"][-1], after.flatten()[places])
    assert len(found.weights["input_output"]) == len(x) + 2
    assert not found.eligibility


def test_a_reward_adds_eligibility_to_the_weights(x: Tensor) -> None:
    network = network_of("reward")
    found = trace_presentation(network, x, reward=0.5)
    weights, eligibility = found.weights["input_output"], found.eligibility["input_output"]
    assert len(eligibility) == len(x)
    assert torch.equal(weights[0].expand_as(weights[:-1]), weights[:-1])  # nothing changes before the reward
    changed = (weights[-2] + 0.05 * 0.5 * eligibility[-1]).clamp(0, 1)
    torch.testing.assert_close(weights[-1], changed)
    assert not torch.equal(weights[-1], weights[-2])


def test_trace_presentation_applies_currents(x: Tensor) -> None:
    current = torch.full((30, 1, 3), 2.0)
    with_current = trace_presentation(network_of("stdp"), x, currents={"output": current})
    assert with_current.spikes["output"].sum() > trace_presentation(network_of("stdp"), x).spikes["output"].sum()


def test_titles_name_the_ends_of_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, trace, titles = Network(), LinearDynamics(0.9), []
    network.add("input", Input(2, trace=trace))
    network.add("layer_1", LIF(2, LinearDynamics(0.8), trace=trace))
    learnt = [network.connect("input", "layer_1", Linear(2, 2), name=name) for name in (None, "second_path")]
    network.add_rule(PairSTDP(learnt))
    monkeypatch.setattr(presentation, "draw_lines", lambda axes, title, *others: titles.append(title))
    draw_presentation(tmp_path / "one.png", trace_presentation(network, torch.ones(3, 1, 2)), "a network")
    assert [title.partition(":")[0] for title in titles] == ["input", "layer_1", "input → layer_1", "second_path"]


@pytest.mark.parametrize("rule", ["stdp", "reward"])
def test_a_presentation_is_drawn(rule: str, x: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = trace_presentation(network_of(rule), x, reward=None if rule == "stdp" else 1.0)
    lines: dict[str, Tensor] = {}
    draw_lines = presentation.draw_lines

    def record(axes: Axes, title: str, label: str, values: Tensor) -> None:
        lines[title.partition(" of ")[0]] = values
        draw_lines(axes, title, label, values)
        assert torch.equal(torch.tensor([line.get_ydata().tolist() for line in axes.lines]).T, values)

    monkeypatch.setattr(presentation, "draw_lines", record)
    file = draw_presentation(tmp_path / "presentation.png", found, "a network")
    assert file.stat().st_size > 5000
    assert file.with_suffix(".svg").exists()
    most = found.spikes["input"].sum(0).topk(4).indices
    assert torch.equal(lines["input: spike traces"], found.traces["input"][:, most])
    assert lines["output: spike traces"].shape == (30, 3)
    assert torch.equal(lines["input → output: weights"], found.weights["input_output"][1:])
    assert ("input → output: eligibility traces" in lines) == (rule == "reward")
