"""External currents are added to those of the connections, equally in every backend."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bionets.layers.plastic import LIF, AdaptiveLIF, Input, Linear, LinearDynamics, Network, PairSTDP
from tests.layers.plastic.plastic_naive import Neuron
from tests.layers.plastic.test_backends import everything, networks

BACKENDS = ("reference", "numba")


def alone() -> Network:
    network = Network()
    network.add("cells", LIF(3, LinearDynamics(0.8, 0.7), threshold=1.0, rest=-0.2, refractory=2, record=("voltage",)))
    return network


@pytest.mark.parametrize("backend", BACKENDS)
def test_neurons_without_connections_follow_their_equation(backend: str) -> None:
    current = 2 * torch.rand(40, 2, 3, generator=torch.Generator().manual_seed(0))
    network = alone()
    spikes = network(currents={"cells": current}, backend=backend)["cells"]
    assert network.backend == backend
    assert spikes.any()
    for b in range(2):
        for n in range(3):
            naive = Neuron(("linear", 0.8, 0.7), ("linear", 0.0, 1.0), threshold=1.0, rest=-0.2, refractory=2)
            assert spikes[:, b, n].tolist() == [naive.step(float(value)) for value in current[:, b, n]]
            assert float(network.neurons["cells"].history["voltage"][-1, b, n]) == pytest.approx(naive.v, abs=1e-5)


@settings(max_examples=40)
@given(networks(), st.booleans(), st.integers(0, 2**31))
def test_backends_agree_on_networks_with_currents(
    drawn: tuple[Network, Tensor, Tensor, Tensor | None], all_groups: bool, seed: int
) -> None:
    network, first, second, rewards = drawn
    other = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    groups = [name for name in network.neurons if name != "input"][: None if all_groups else 1]
    for x in (first, second):
        shapes = {name: (*x.shape[:2], *network.neurons[name].shape) for name in groups}
        currents = {
            name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()
        }
        ours = network(x, rewards, currents=currents, backend="numba")
        theirs = other(x, rewards, currents=currents, backend="reference")
        for name, spikes in ours.items():
            torch.testing.assert_close(spikes, theirs[name])
    ours, theirs = everything(network), everything(other)
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-9, atol=1e-12, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_current_has_the_effect_of_the_spikes_that_would_cause_it(backend: str) -> None:
    x = torch.rand(30, 2, 5, generator=torch.Generator().manual_seed(1)) < 0.4
    weight = torch.rand(5, 3, generator=torch.Generator().manual_seed(2))
    spiking = Network()
    spiking.add("input", Input(5))
    spiking.add("cells", alone().neurons["cells"])
    spiking.connect("input", "cells", Linear(5, 3, weight=weight))
    ours = alone()(currents={"cells": x.float() @ weight}, backend=backend)["cells"]
    assert ours.any()
    assert torch.equal(ours, spiking(x, backend=backend)["cells"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_synapses_learn_from_spikes_that_a_current_causes(backend: str) -> None:
    """An external current makes only the second neuron fire, and only its synapses grow."""
    network, trace = Network(), LinearDynamics(0.9)
    network.add("input", Input(4, trace=trace))
    network.add("cells", LIF(2, LinearDynamics(0.5), trace=trace))
    learnt = network.connect("input", "cells", Linear(4, 2, weight=torch.zeros(4, 2)))
    network.add_rule(PairSTDP([learnt], potentiation=0.1, depression=0.0))
    x = torch.rand(20, 1, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    current = torch.zeros(20, 1, 2)
    current[:, :, 1] = 2.0
    network(x, currents={"cells": current}, backend=backend)
    assert not learnt.weight[:, 0].any()
    assert bool((learnt.weight[:, 1] > 0).all())


@pytest.mark.parametrize("backend", BACKENDS)
def test_refractory_neurons_do_not_spike_even_above_their_threshold(backend: str) -> None:
    network, options = Network(), {"threshold": 1.0, "reset": 2.0, "refractory": 2}
    network.add("plain", LIF(1, LinearDynamics(1.0), **options))  # type: ignore[arg-type]
    network.add("adaptive", AdaptiveLIF(1, LinearDynamics(1.0), LinearDynamics(0.5, 0.1), **options))
    current = torch.tensor([1.5, 0.0, 0.0, 0.0, 0.0]).reshape(5, 1, 1)
    for spikes in network(currents=dict.fromkeys(("plain", "adaptive"), current), backend=backend).values():
        assert spikes.flatten().tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("backend", BACKENDS)
def test_homeostatic_thresholds_change_by_the_mean_spike_of_the_batch(backend: str) -> None:
    network = Network()
    adaptation = LinearDynamics(0.9, 0.5)
    cells = network.add("cells", AdaptiveLIF(2, LinearDynamics(0.0), adaptation, threshold=1.0, homeostasis=True))
    first, second = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[2.0, 0.0], [1.2, 0.0]]]).unsqueeze(1)
    assert network(currents={"cells": first}, backend=backend)["cells"].sum() == 1  # at the threshold
    assert cells.adaptation is not None
    assert cells.adaptation.tolist() == [0.25, 0.0]
    assert network(currents={"cells": second}, backend=backend)["cells"].sum() == 1  # 1.2 is below 1.25
    assert cells.adaptation.tolist() == pytest.approx([0.9 * 0.25 + 0.25, 0.0])


def test_currents_may_be_integers_and_given_in_pieces() -> None:
    current = torch.randint(0, 3, (12, 1, 3), generator=torch.Generator().manual_seed(0))
    whole = alone()(currents={"cells": current})["cells"]
    network = alone()
    pieces = [network(currents={"cells": part.float()})["cells"] for part in current.split(4)]
    assert torch.equal(torch.cat(pieces), whole)


def test_currents_of_wrong_shapes_and_names_are_refused() -> None:
    network = alone()
    with pytest.raises(ValueError, match=r"'cells': expected a current of shape \[T, B, 3\], got \(5, 1, 2\)"):
        network(currents={"cells": torch.zeros(5, 1, 2)})
    with pytest.raises(ValueError, match="a current is given for 'cell'; those that take one are cells"):
        network(currents={"cell": torch.zeros(5, 1, 3)})
    with pytest.raises(ValueError, match="the network has no Input: give currents"):
        network()
    with pytest.raises(ValueError, match=r"the network has no Input for x: give currents=\{name: values\}"):
        network(torch.zeros(5, 1, 3))
    for wrong, message in (
        (torch.zeros(5, 1, 3), "currents must be a dict of tensors by the names of groups, got a Tensor"),
        ({"cells": [0.0, 1.0]}, "'cells': a current must be a tensor, got a list"),
        ({"cells": torch.full((5, 1, 3), 2j)}, "'cells': a current must be real, got torch.complex64"),
    ):
        with pytest.raises(TypeError, match=message):
            network(currents=wrong)
    network.add("input", Input(2))
    with pytest.raises(ValueError, match="a current is given for 'input'"):
        network(torch.zeros(5, 1, 2), currents={"input": torch.zeros(5, 1, 2)})
    with pytest.raises(ValueError, match="spikes are given for nothing; the inputs are input"):
        network(currents={"cells": torch.zeros(5, 1, 3)})
    with pytest.raises(ValueError, match="all inputs need the same steps and batch"):
        network(torch.zeros(5, 1, 2), currents={"cells": torch.zeros(6, 1, 3)})
