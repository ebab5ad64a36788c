"""Plastic networks in Triton against the CPU's kernel: on a GPU, or with TRITON_INTERPRET=1, see `test_triton.py`."""

import copy
import math
from collections.abc import Iterator
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bionets.layers.plastic import (
    IF,
    LIF,
    AdaptiveLIF,
    ExponentialDynamics,
    Input,
    LateralInhibition,
    Linear,
    LinearDynamics,
    Network,
    OneToOne,
    PairSTDP,
)
from bionets.layers.plastic.gpu import run
from tests.layers.plastic.test_backends import everything
from tests.layers.plastic.test_edits import EDITS, learning, spikes

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def _small_tiles() -> Iterator[None]:
    with patch.dict(run.__globals__, LARGEST=32, TILE=16):
        yield


@st.composite
def networks(draw: st.DrawFn) -> tuple[Network, Tensor]:
    """A network of two or three groups, and a presentation."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)

    def neurons(shape: tuple[int, ...]) -> LIF:
        options = {
            "threshold": between(0.2, 0.6, *shape),
            "rest": between(-0.5, 0.0, *shape),
            "reset": draw(st.sampled_from([None, -1.0])),
            "refractory": torch.randint(0, 4, shape, generator=generator),
            "trace": LinearDynamics(between(0.3, 0.99, *shape), between(0.1, 1.5, *shape)),
            "nearest_spike": draw(st.booleans()),
        }
        dynamics = ExponentialDynamics(between(1.0, 20.0, *shape), between(0.5, 3.0, *shape), dt=0.5)
        kind = draw(st.sampled_from([IF, LIF, AdaptiveLIF]))
        if kind is IF:
            return IF(shape, scale=between(0.3, 1.0, *shape), **options)
        if kind is AdaptiveLIF:
            adaptation = LinearDynamics(between(0.8, 1.0, *shape), between(0.0, 0.2, *shape))
            return AdaptiveLIF(shape, dynamics, adaptation, homeostasis=draw(st.booleans()), **options)
        return kind(shape, dynamics, **options)

    size = draw(st.sampled_from([1, 5, 40]))
    network = Network()
    network.add("input", Input((2, 3), trace=LinearDynamics(0.9), nearest_spike=draw(st.booleans())))
    network.add("hidden", neurons((size,)))
    learnt = [network.connect("input", "hidden", Linear(6, size, weight=between(0, 1, 6, size)))]
    if draw(st.booleans()):
        network.connect("hidden", "hidden", LateralInhibition(size, between(-0.5, 0.0, size)))
    if draw(st.booleans()):
        network.add("output", neurons((size, 1)))
        network.connect("hidden", "output", OneToOne(size, between(0.5, 1.0, size)))
        back = Linear(size, size, weight=between(-0.5, 0.1, size, size), bounds=(-1.0, 1.0))
        network.connect("output", "hidden", back)
        learnt.append(
            network.connect("input", "output", Linear(6, size, weight=between(0, 1, 6, size), bounds=(0.0, 1.2)))
        )
    network.to(torch.float64)
    if draw(st.booleans()):
        dependence, target = draw(st.sampled_from([0.0, 1.0, 0.3])), draw(st.sampled_from([0.0, 0.3]))
        network.add_rule(PairSTDP([{"connections": learnt, "potentiation": 0.2}], 0.1, 0.05, target, dependence))
    network.train(draw(st.booleans()))
    batch = draw(st.sampled_from([1, 3]))
    return network, torch.rand((6, batch, 2, 3), generator=generator) < 0.4


@settings(max_examples=25, deadline=None, derandomize=True)
@given(networks())
def test_triton_agrees_with_the_cpu_kernel(drawn: tuple[Network, Tensor]) -> None:
    other, x = drawn
    network = copy.deepcopy(other).to(DEVICE)
    for _ in range(2):  # the second presentation continues from the state after the first
        ours, theirs = network(x.to(DEVICE), backend="triton"), other(x, backend="numba")
        assert (network.backend, other.backend) == ("triton", "numba")
        assert ours.keys() == theirs.keys()
        for name, fired in ours.items():
            assert torch.equal(fired.cpu(), theirs[name]), name
    found, expected = (dict(each.named_buffers()) | dict(each.named_parameters()) for each in (network, other))
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(
            value.cpu(), expected[name], rtol=1e-9, atol=1e-11, msg=lambda m, n=name: f"{n}: {m}"
        )


def learning_network() -> Network:
    network = Network()
    network.add("input", Input(8, trace=LinearDynamics(0.9)))
    network.add("output", LIF(3, LinearDynamics(0.9), trace=LinearDynamics(0.9)))
    weight = torch.rand((8, 3), generator=torch.Generator().manual_seed(1))
    network.add_rule(PairSTDP([network.connect("input", "output", Linear(8, 3, weight=weight))], 0.1, 0.1))
    return network.to(DEVICE)


@pytest.fixture
def x() -> Tensor:
    return (torch.rand((20, 2, 8), generator=torch.Generator().manual_seed(0)) < 0.5).to(DEVICE)


def test_float32_agrees_with_the_reference_within_1e_5(x: Tensor) -> None:
    network, other = learning_network(), learning_network()
    ours, theirs = network(x, backend="triton"), other(x, backend="reference")
    assert ours["output"].any()
    assert torch.equal(ours["output"], theirs["output"])
    torch.testing.assert_close(
        *(each.connections["input_output"].weight for each in (network, other)), rtol=0, atol=1e-5
    )


def test_same_input_gives_the_same_bits(x: Tensor) -> None:
    network, other = learning_network(), learning_network()
    network(x, backend="triton"), other(x, backend="triton")
    assert torch.equal(*(each.connections["input_output"].weight for each in (network, other)))


def test_kept_states_and_inputs_are_not_modified_in_place(x: Tensor) -> None:
    network = learning_network()
    network(x, backend="triton")
    before, given = network.neurons["output"].trace, x.clone()
    copied = before.clone()
    network(x, backend="triton")
    assert torch.equal(before, copied)
    assert torch.equal(x, given)
    assert not torch.equal(network.neurons["output"].trace, copied)


def test_a_presentation_without_learning_is_one_kernel_launch(x: Tensor) -> None:
    launches = []
    network = learning_network()
    with patch.dict(run.__globals__, _launch=lambda function, *arguments, **options: launches.append(function)):
        network.eval()(x, backend="triton")
        assert len(launches) == 1
        network.train()(x, backend="triton")
        if DEVICE == "cpu":  # on a GPU a step is captured and replayed
            assert len(launches) == 1 + 2 * len(x)


@pytest.mark.parametrize("edit", EDITS)
def test_edits_between_presentations_have_the_same_effect_as_in_the_reference(edit: str) -> None:
    ours, theirs = learning().to(DEVICE), learning().to(DEVICE)
    for network, backend in ((ours, "triton"), (theirs, "reference")):
        network(spikes().to(DEVICE)[:6], backend=backend)
        EDITS[edit](network.cpu())
        network.to(DEVICE)(spikes(1, rate=0.1).to(DEVICE)[:6], backend=backend)
    found, expected = everything(ours), everything(theirs)
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-5, check_dtype=False, msg=name)


def test_learning_of_unbounded_weights_agrees_with_the_reference(x: Tensor) -> None:
    ours, theirs = learning_network(), learning_network()
    for network, backend in ((ours, "triton"), (theirs, "reference")):
        network.connections["input_output"].bounds = (-math.inf, math.inf)
        network(x, backend=backend)
    torch.testing.assert_close(*(each.connections["input_output"].weight for each in (ours, theirs)))


def test_a_potentiation_of_nan_gives_weights_of_nan(x: Tensor) -> None:
    network = learning_network()
    network.rules[0].groups[0]["potentiation"] = float("nan")
    network(x, backend="triton")
    assert network.connections["input_output"].weight.isnan().all()


@pytest.mark.parametrize("steps, batch", [(0, 2), (3, 0)])
def test_presentations_without_steps_or_samples_give_empty_outputs(steps: int, batch: int) -> None:
    spikes = learning_network()(torch.zeros(steps, batch, 8, dtype=torch.bool, device=DEVICE), backend="triton")
    assert spikes["output"].shape == (steps, batch, 3)
