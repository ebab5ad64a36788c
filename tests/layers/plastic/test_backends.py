"""The kernel that computes a whole presentation agrees with the reference, for random networks."""

import copy
import sys
import warnings
from functools import partial
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bionets.layers import get_states
from bionets.layers.plastic import (
    IF,
    LIF,
    MSTDP,
    MSTDPET,
    AdaptiveLIF,
    ExponentialDynamics,
    Input,
    LateralInhibition,
    LearningRule,
    Linear,
    LinearDynamics,
    MaxPool2d,
    Network,
    OneToOne,
    PairSTDP,
    StableSTDP,
    TraceLIF,
    TripletSTDP,
    reference,
    replay,
)

EVERYTHING = ("spikes", "trace", "voltage", "threshold")


@st.composite
def networks(draw: st.DrawFn) -> tuple[Network, Tensor, Tensor, Tensor | None]:
    """A network of two or three groups, two presentations of the same batch, and rewards."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    dtype = torch.float64

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, dtype=dtype)

    def dynamics(*shape: int) -> LinearDynamics | ExponentialDynamics:
        if draw(st.booleans()):
            return LinearDynamics(between(0.3, 0.99, *shape), between(0.1, 1.5, *shape))
        return ExponentialDynamics(between(1.0, 20.0, *shape), between(0.5, 3.0, *shape), dt=0.5)

    def neurons(shape: tuple[int, ...]) -> LIF:
        options = {
            "threshold": between(0.2, 0.6, *shape),
            "rest": between(-0.5, 0.0, *shape),
            "reset": draw(st.sampled_from([None, -1.0])),
            "refractory": torch.randint(0, 4, shape, generator=generator),
            "trace": dynamics(*shape),
            "nearest_spike": draw(st.booleans()),
            "record": EVERYTHING,
        }
        kind = draw(st.sampled_from([IF, LIF, AdaptiveLIF, TraceLIF]))
        if kind is IF:
            return IF(shape, scale=between(0.3, 1.0, *shape), **options)
        if kind is AdaptiveLIF:
            homeostasis = draw(st.booleans())
            return AdaptiveLIF(shape, dynamics(*shape), dynamics(*shape), homeostasis=homeostasis, **options)
        return kind(shape, dynamics(*shape), **options)

    def rule(learnt: list[Linear]) -> LearningRule:
        kind = draw(st.sampled_from([PairSTDP, TripletSTDP, MSTDP, MSTDPET]))
        if kind is MSTDP:
            return MSTDP(learnt, 0.1, 0.8, 0.5)
        if kind is MSTDPET:
            decay = draw(st.sampled_from([0.05, 0.9]))  # the small one is multiplied out within the twelve steps
            return MSTDPET([{"connections": learnt, "rate": 0.1}], 0.2, draw(st.sampled_from([0.0, 0.8])), 0.5, decay)
        dependence = draw(st.sampled_from([0.0, 1.0, 0.3]))
        if kind is PairSTDP:
            target = draw(st.sampled_from([0.0, 0.3]))
            return PairSTDP([{"connections": learnt, "potentiation": 0.2}], 0.1, 0.05, target, dependence)
        nearest = draw(st.booleans())
        return TripletSTDP(learnt, 0.1, 0.05, 0.08, 0.03, 0.9, 0.8, nearest_spike=nearest, weight_dependence=dependence)

    def delay() -> int:
        return draw(st.sampled_from([0, 0, 1, 3]))

    size = draw(st.sampled_from([1, 5, 70]))
    network = Network()
    network.add("input", Input(6, trace=dynamics(6), nearest_spike=draw(st.booleans()), record=("spikes", "trace")))
    network.add("hidden", neurons((size,)))
    learnt = [network.connect("input", "hidden", Linear(6, size, weight=between(0, 1, 6, size), delay=delay()))]
    if draw(st.booleans()):
        late = torch.randint(0, 4, (size,), generator=generator) if draw(st.booleans()) else 0
        network.connect("hidden", "hidden", LateralInhibition(size, between(-0.5, 0.0, size), delay=late))
    if draw(st.booleans()):
        network.add("output", neurons((size, 1)))
        network.connect("hidden", "output", OneToOne(size, between(0.5, 1.0, size)))
        back = Linear(size, size, weight=between(-0.5, 0.1, size, size), bounds=(-1.0, 1.0), delay=delay())
        network.connect("output", "hidden", back)
        if draw(st.booleans()):
            learnt.append(back)
        learnt.append(
            network.connect("input", "output", Linear(6, size, weight=between(0, 1, 6, size), bounds=(0.0, 1.2)))
        )
    network.to(dtype)
    if draw(st.booleans()):
        network.add_rule(rule(learnt))
    network.train(draw(st.booleans()))
    batch = draw(st.sampled_from([1, 3]))
    first, second = (torch.rand((12, batch, 6), generator=generator) < 0.4 for _ in range(2))
    rewards = draw(st.sampled_from([None, torch.randn(12, batch, generator=generator, dtype=dtype)]))
    return network, first, second, rewards


def everything(network: Network) -> dict[str, Tensor]:
    found = dict(network.named_buffers()) | dict(network.named_parameters())
    for name, neurons in network.neurons.items():
        found |= {f"{name} {what}": steps for what, steps in neurons.history.items()}
    for k, rule in enumerate(network.rules):
        for c, state in enumerate(rule.state.values()):
            found |= {f"rule {k} connection {c} {name}": value for name, value in state.items()}
    return found


@settings(max_examples=60)
@given(networks())
def test_both_backends_agree_on_outputs_states_and_weights(
    drawn: tuple[Network, Tensor, Tensor, Tensor | None],
) -> None:
    network, first, second, rewards = drawn
    other = copy.deepcopy(network)
    for x in (first, second):  # the second continues from the state after the first
        ours, theirs = network(x, rewards, backend="numba"), other(x, rewards, backend="reference")
        network.reinforce(0.5)
        other.reinforce(0.5)
        assert (network.backend, other.backend) == ("numba", "reference")
        assert ours.keys() == theirs.keys()
        for name, spikes in ours.items():
            torch.testing.assert_close(spikes, theirs[name])
    ours, theirs = everything(network), everything(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-9, atol=1e-12, msg=lambda text, n=name: f"{n}: {text}")


@settings(max_examples=40)
@given(networks())
def test_replayed_steps_equal_those_of_the_reference(drawn: tuple[Network, Tensor, Tensor, Tensor | None]) -> None:
    network, first, second, rewards = drawn
    other = copy.deepcopy(network)
    for x in (first, second):
        with (
            patch.object(reference, "can_replay", lambda *arguments: True),
            patch.object(replay, "cuda_graph", lambda step: step),  # needs a GPU; what it captures must run anywhere
        ):
            ours = network(x, rewards, backend="reference")
        theirs = other(x, rewards, backend="reference")
        network.reinforce(0.5)
        other.reinforce(0.5)
        for name, spikes in ours.items():
            assert torch.equal(spikes, theirs[name])
    ours, theirs = everything(network), everything(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def test_a_replayed_step_keeps_the_memory_of_every_state(x: Tensor) -> None:
    network = small(weight=torch.rand((16, 3)), delay=2)
    network(x[:2], backend="reference")
    spikes = {"output": torch.zeros(2, 3, dtype=torch.bool)}
    step = partial(reference._step, network, {"input": x[2]}, spikes, None, {})
    with patch.object(replay, "cuda_graph", lambda step: step):
        captured = replay.capture(network, step)
    before = {name: state.data_ptr() for name, state in get_states(network).items()}
    values = {name: state.clone() for name, state in get_states(network).items()}
    captured()
    assert before == {name: state.data_ptr() for name, state in get_states(network).items()}
    assert len(set(before.values())) == len(before)
    assert any(not torch.equal(state, values[name]) for name, state in get_states(network).items())


def test_a_step_that_cannot_be_captured_runs_without_a_graph(x: Tensor) -> None:
    def refuse(step: replay.Step) -> replay.Step:
        for neurons in network.neurons.values():  # a capture computes nothing, and leaves states without values
            for name in neurons.state_names:
                setattr(neurons, name, torch.ones_like(getattr(neurons, name)))
        raise RuntimeError("operation not permitted when stream is capturing")

    network = small(weight=0.1 * torch.rand((16, 3), generator=torch.Generator().manual_seed(1)))
    other = copy.deepcopy(network)
    with (
        patch.object(reference, "can_replay", lambda *arguments: True),
        patch.object(replay, "cuda_graph", refuse),
        pytest.warns(UserWarning, match="one by one, slowly: operation not permitted"),
    ):
        ours = network(x, backend="reference")
    assert torch.equal(ours["output"], other(x, backend="reference")["output"])
    assert ours["output"].any() and not ours["output"].all()


def test_networks_with_records_or_hooks_are_not_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    cuda = torch.device("cuda")
    assert replay.can_replay(small(), 100, cuda)
    recorded, hooked = small(), small()
    recorded.neurons["output"].record = ("spikes",)
    hooked.connections["input_output"].register_forward_hook(lambda module, given, current: None)
    assert not replay.can_replay(recorded, 100, cuda)
    assert not replay.can_replay(hooked, 100, cuda)


def small(**options: object) -> Network:
    network = Network()
    network.add("input", Input((1, 4, 4), trace=LinearDynamics(0.9)))
    network.add("output", LIF(3, LinearDynamics(0.9), trace=LinearDynamics(0.9)))
    network.connect("input", "output", Linear(16, 3, **options))
    return network


@pytest.fixture
def x() -> Tensor:
    return torch.rand((20, 2, 1, 4, 4), generator=torch.Generator().manual_seed(0)) < 0.5


def test_both_backends_agree_in_float32(x: Tensor) -> None:
    network = small(weight=torch.rand((16, 3), generator=torch.Generator().manual_seed(1)))
    network.add_rule(PairSTDP([network.connections["input_output"]], 0.1, 0.1))
    other = copy.deepcopy(network)
    ours, theirs = network(x), other(x, backend="reference")
    assert network.backend == "numba"
    assert ours["output"].any()
    assert torch.equal(ours["output"], theirs["output"])
    torch.testing.assert_close(network.connections["input_output"].weight, other.connections["input_output"].weight)


@pytest.mark.parametrize("rule", [PairSTDP, TripletSTDP, MSTDPET])
@pytest.mark.parametrize("rows", [64, 150])
def test_backends_agree_on_connections_of_one_block_of_rows_and_of_several(rows: int, rule: type[LearningRule]) -> None:
    """The kernel changes `memory.BLOCK` = 64 rows of weights together; for a reward, 64 weights."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(12, 2, rows, generator=generator) < 0.3
    start, weights = torch.rand(rows, 5, generator=generator, dtype=torch.float64), []
    for backend in ("reference", "numba"):
        network, trace = Network(), LinearDynamics(0.8)
        network.add("input", Input(rows, trace=trace))
        network.add("output", LIF(5, LinearDynamics(0.5), threshold=0.2 * rows, trace=trace))
        learnt = network.connect("input", "output", Linear(rows, 5, weight=start))
        network.add_rule(rule([learnt]))
        network.double()
        assert network(x, 0.5, backend=backend)["output"].any()
        weights.append(learnt.weight)
    torch.testing.assert_close(weights[1], weights[0])
    assert not weights[0][-1].equal(start[-1])


def test_backends_agree_on_a_group_whose_connection_to_itself_learns() -> None:
    generator, weights = torch.Generator().manual_seed(0), []
    x = torch.rand(20, 2, 6, generator=generator) < 0.4
    given, own = torch.rand(6, 5, generator=generator), torch.rand(5, 5, generator=generator)
    for backend in ("reference", "numba"):
        network, trace = Network(), LinearDynamics(0.8)
        network.add("input", Input(6))
        network.add("cells", LIF(5, LinearDynamics(0.8), threshold=2.0, refractory=1, trace=trace))
        network.connect("input", "cells", Linear(6, 5, weight=given))
        learnt = network.connect("cells", "cells", Linear(5, 5, weight=own))
        network.add_rule(PairSTDP([learnt], 0.1, 0.05))
        assert network(x, backend=backend)["cells"].any()
        weights.append(learnt.weight)
    torch.testing.assert_close(weights[1], weights[0])
    assert not torch.equal(weights[0], own)


def test_networks_that_the_kernel_cannot_compute_are_refused_or_warn(x: Tensor) -> None:
    delayed = small(delay=torch.arange(48).reshape(16, 3) % 3)
    with pytest.raises(ValueError, match="cannot compute this network: 'input_output' has a delay for each synapse"):
        delayed(x, backend="numba")
    with pytest.warns(UserWarning, match="reference backend: 'input_output' has a delay for each synapse"):
        delayed(x)
    assert delayed.backend == "reference"

    pooled = small()
    pooled.add("pooled", IF((1, 2, 2)))
    pooled.connect("input", "pooled", MaxPool2d(2))
    with pytest.raises(ValueError, match="'input_pooled' is a connection of the kind MaxPool2d"):
        pooled(x, backend="numba")

    stable = small()
    stable.learn(StableSTDP([stable.connections["input_output"]]))
    with pytest.raises(ValueError, match="it learns by StableSTDP"):
        stable(x, backend="numba")
    stable.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stable(x)
    assert stable.backend == "numba"

    hooked, each_its_own = small(), small()
    hooked.connections["input_output"].register_forward_hook(lambda module, given, current: 0.5 * current)
    with pytest.raises(ValueError, match="'input_output' has a forward hook"):
        hooked(x, backend="numba")
    each_its_own.add_rule(PairSTDP([each_its_own.connections["input_output"]], torch.rand(16, 3)))
    with pytest.raises(ValueError, match="an option of PairSTDP has a value for each synapse"):
        each_its_own(x, backend="numba")

    shared, trace = small(bounds=(0.0, 1.0)), LinearDynamics(0.9)
    shared.add("more", LIF(3, LinearDynamics(0.9), trace=trace))
    second = shared.connect("input", "more", Linear(16, 3, bounds=(-1.0, 0.5)))
    second.weight = shared.connections["input_output"].weight
    shared.add_rule(PairSTDP([shared.connections["input_output"], second]))
    with pytest.raises(ValueError, match="connections that share weights have different bounds"):
        shared(x, backend="numba")
    second.bounds = (0.0, 1.0)
    shared(x, backend="numba")

    with pytest.raises(ValueError, match="unknown backend 'cuda'"):
        small()(x, backend="cuda")


def test_a_kept_state_is_not_modified_in_place(x: Tensor) -> None:
    network = small()
    network(x)
    before = network.neurons["output"].voltage
    copied = before.clone()
    network(x)
    assert torch.equal(before, copied)


@pytest.mark.parametrize("flushed", [False, True])
def test_denormals_are_flushed_only_inside_the_kernel(flushed: bool) -> None:
    network = Network()
    network.add("cells", LIF(1, LinearDynamics(0.9), trace=LinearDynamics(0.1)))
    network.neurons["cells"].trace = torch.full((1, 1), 1e-37)
    before = torch.set_flush_denormal(flushed)
    try:
        network(currents={"cells": torch.zeros(2, 1, 1)}, backend="numba")
        assert network.neurons["cells"].trace.view(torch.int32).item() == 0
        assert (sys.float_info.min / 2 == 0) == flushed
    finally:
        torch.set_flush_denormal(False)
    assert before
