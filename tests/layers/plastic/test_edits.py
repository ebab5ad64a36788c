"""Values set before a presentation or between two have the same effect in every backend."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bionets.layers import reset_states
from bionets.layers.plastic import (
    LIF,
    MSTDPET,
    AdaptiveLIF,
    Conv2d,
    Input,
    LateralInhibition,
    LearningRule,
    Linear,
    LinearDynamics,
    Network,
    OneToOne,
    PairSTDP,
    TripletSTDP,
)
from tests.layers.plastic.test_backends import everything

BACKENDS = ("reference", "numba")
RULES: dict[str, Callable[[list[Linear]], LearningRule]] = {
    "pairs": lambda learnt: PairSTDP(learnt, 0.1, 0.05),
    "pairs that depend on the weight": lambda learnt: PairSTDP(learnt, 0.1, 0.05, weight_dependence=0.5),
    "triplets": lambda learnt: TripletSTDP(learnt, 0.1, 0.05, 0.08, 0.03),
    "eligibility": lambda learnt: MSTDPET(learnt, 0.1),
}


def learning(rule: str = "pairs", **options: Any) -> Network:
    network, trace = Network(), LinearDynamics(0.8)
    network.add("input", Input(6, trace=trace))
    network.add("output", LIF(5, LinearDynamics(0.9), threshold=0.7, refractory=1, trace=trace))
    weight = 0.1 + 0.8 * torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    learnt = network.connect("input", "output", Linear(6, 5, weight=weight, **options))
    network.connect("output", "output", LateralInhibition(5, -0.2))
    network.add_rule(RULES[rule]([learnt]))
    return network


def spikes(seed: int = 0, rate: float = 0.4, batch: int = 2) -> Tensor:
    return torch.rand(12, batch, 6, generator=torch.Generator().manual_seed(seed)) < rate


def set_output(name: str, value: Any) -> Callable[[Network], None]:
    return lambda network: setattr(network.neurons["output"], name, value)


def change_weight(change: Callable[[Tensor], Tensor]) -> Callable[[Network], None]:
    def edit(network: Network) -> None:
        weight = network.connections["input_output"].weight
        weight.data = change(weight.data)

    return edit


def each_module_to_float64(network: Network) -> None:
    network.neurons.double()  # type: ignore[attr-defined]
    network.connections.double()  # type: ignore[attr-defined]


def spikes_as_numbers(network: Network) -> None:
    neurons = network.neurons["output"]
    neurons.spikes = neurons.spikes.float()  # type: ignore[union-attr]


EDITS: dict[str, Callable[[Network], None]] = {
    "one threshold for all": set_output("threshold", torch.tensor(0.5)),
    "a whole number as threshold": set_output("threshold", torch.tensor(1)),
    "one rest for all": set_output("rest", torch.tensor(-0.3)),
    "one reset for all": set_output("reset", torch.tensor([0.1])),
    "one decay for all": set_output("voltage_decay", torch.tensor(0.5)),
    "one trace decay for all": set_output("trace_decay", torch.tensor(0.5)),
    "refractory of int64": set_output("refractory", torch.tensor([3, 0, 2, 1, 3])),
    "one refractory for all": set_output("refractory", torch.tensor(3, dtype=torch.uint8)),
    "voltages that share memory": set_output("voltage", torch.tensor(0.2).expand(2, 5)),
    "waiting of int64": set_output("waiting", torch.tensor([[0, 1, 2, 0, 1], [2, 0, 0, 1, 0]])),
    "spikes as numbers": spikes_as_numbers,
    "transposed weights": change_weight(lambda weight: weight.T.contiguous().T),
    "weights outside of the bounds": change_weight(lambda weight: 2 * weight - 0.4),
    "narrower bounds": lambda network: setattr(network.connections["input_output"], "bounds", (0.3, 0.5)),
    "each module to float64": each_module_to_float64,
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("edit", EDITS)
def test_edits_between_presentations_have_the_same_effect_in_both_backends(edit: str, rule: str) -> None:
    ours, theirs = learning(rule), learning(rule)
    for network, backend in ((ours, "numba"), (theirs, "reference")):
        network(spikes(), 0.5, backend=backend)
        EDITS[edit](network)
        out = network(spikes(1, rate=0.1), 0.5, backend=backend)["output"]
        assert out.any() or edit == "a whole number as threshold"
    found, expected = everything(ours), everything(theirs)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        message = f"{name} after {edit}"
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-5, check_dtype=False, msg=message)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_delay_may_be_set_to_a_tensor_of_another_dtype(backend: str) -> None:
    expected, network = learning(delay=2), learning(delay=2)
    network.connections["input_output"].delay = torch.tensor(2)
    assert torch.equal(network(spikes(), backend=backend)["output"], expected(spikes(), backend=backend)["output"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_initial_voltages_may_be_set(backend: str) -> None:
    network = Network()
    network.add("input", Input(2))
    network.add("output", LIF(3, LinearDynamics(0.5), threshold=0.5))
    network.neurons["output"].voltage = torch.tensor([[0.8, 2.0, 0.0]])
    assert network(torch.zeros(1, 1, 2), backend=backend)["output"].tolist() == [[[False, True, False]]]
    assert network.neurons["output"].voltage.tolist() == [[pytest.approx(0.4), 0.0, 0.0]]


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_replaced_by_another_shape_are_refused(backend: str) -> None:
    network = learning()
    network.connections["input_output"].weight.data = torch.rand(7, 5)
    with pytest.raises((ValueError, RuntimeError), match=r"does not fit between \(6,\) and \(5,\)|multiplied"):
        network(spikes(), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_delay_given_to_a_connection_made_without_one_is_refused(backend: str) -> None:
    network = learning()
    network.connections["input_output"].delay = torch.tensor(2, dtype=torch.int32)
    with pytest.raises(ValueError, match="Linear: give the delay to the constructor"):
        network(spikes(), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_input_may_be_overwritten_after_a_call(backend: str) -> None:
    """A group that stands before the input sees the spikes of the step before, the last of the earlier call."""
    network = Network()
    network.add("output", LIF(1, LinearDynamics(0.0)))
    network.add("input", Input(1))
    network.connect("input", "output", OneToOne(1, 2.0))
    x = torch.ones(1, 1, 1, dtype=torch.bool)
    network(x, backend=backend)
    x.fill_(False)
    assert network(x, backend=backend)["output"].all()


@pytest.mark.parametrize("rule", ["triplets", "eligibility"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_reset_states_resets_the_rules_too(backend: str, rule: str) -> None:
    network, other = learning(rule), learning(rule)
    network(spikes(batch=1), backend=backend)
    reset_states(network)
    before = network.connections["input_output"].weight.clone()
    network.reinforce(1.0)
    assert torch.equal(network.connections["input_output"].weight, before)
    for name, connection in network.connections.items():
        other.connections[name].weight.data.copy_(connection.weight)
    for each in (network, other):
        each(spikes(1, batch=3), 1.0, backend=backend)
    assert torch.equal(network.connections["input_output"].weight, other.connections["input_output"].weight)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_does_not_change_the_results(backend: str, rule: str) -> None:
    network, other = learning(rule), learning(rule)
    network(spikes(), 0.5, backend=backend)
    with torch.autocast("cpu", torch.bfloat16):
        other(spikes(), 0.5, backend=backend)
    for name, value in everything(network).items():
        assert torch.equal(value, everything(other)[name]), name


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_presentation_changes_nothing(backend: str, rule: str) -> None:
    network = learning(rule)
    adaptive = AdaptiveLIF(2, LinearDynamics(0.9), LinearDynamics(0.9, 0.1), homeostasis=True, record=["voltage"])
    network.add("adaptive", adaptive)
    adaptive.adaptation.fill_(0.5)
    before = copy.deepcopy(network)
    out = network(torch.zeros(3, 0, 6), 1.0, backend=backend)
    assert list(out) == ["output", "adaptive"]
    assert out["output"].shape == (3, 0, 5)
    network.reset()
    assert network(spikes()[:0], 1.0, backend=backend)["adaptive"].shape == (0, 2, 2)
    assert adaptive.history == {}
    for name, value in before.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reward_of_nan_gives_weights_of_nan(backend: str) -> None:
    network = learning("eligibility")
    network(spikes(), math.nan, backend=backend)
    assert network.connections["input_output"].weight.isnan().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_change_that_depends_on_the_distance_to_a_bound_is_zero_beyond_it(backend: str) -> None:
    network, trace = Network(), LinearDynamics(0.5)
    network.add("input", Input(2, trace=trace))
    network.add("output", LIF(1, LinearDynamics(0.0), threshold=-1.0, trace=trace))
    learnt = network.connect("input", "output", Linear(2, 1))
    network.add_rule(PairSTDP([learnt], 2.0, -2.0, trace_target=1.0, weight_dependence=0.5))
    learnt.weight.data = torch.tensor([[1.5], [-0.5]])  # the first is to decrease and the second to increase
    assert network(torch.tensor([[[False, True]]]), backend=backend)["output"].all()
    assert learnt.weight.flatten().tolist() == [1.0, 0.0]


def test_the_kernel_refuses_weights_of_another_dtype() -> None:
    network = learning()
    network.connections["input_output"].weight.data = torch.ones(6, 5, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"cannot compute this network: it is of torch\.float32 and torch\.int64"):
        network(spikes(), backend="numba")


def test_the_kernel_refuses_weights_that_are_not_finite() -> None:
    network = learning()
    network.connections["input_output"].weight.data[0, 0] = math.nan
    with pytest.raises(ValueError, match="cannot compute this network: weights of 'input_output' are not finite"):
        network(spikes(), backend="numba")


@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_before_the_first_pair_do_not_change_a_growing_eligibility(backend: str) -> None:
    """The eligibility grows from the first pair on."""
    network, other = (learning("eligibility").double() for _ in range(2))
    for each in (network, other):
        each.rules[0].groups[0].update(decay=1.5, rate=1e-6)
    network(torch.cat([torch.zeros(2000, 2, 6, dtype=torch.bool), spikes()]), 1.0, backend=backend)
    other(spikes(), 1.0, backend="reference")
    torch.testing.assert_close(
        network.connections["input_output"].weight, other.connections["input_output"].weight, rtol=0, atol=1e-12
    )


def test_lateral_inhibition_gives_the_same_bits_in_both_backends() -> None:
    """The only neuron that spikes does not inhibit itself, and its current loses no digit."""
    voltages = []
    for backend in BACKENDS:
        network = Network()
        network.add("a", LIF(3, LinearDynamics(0.9)))
        network.add("b", LIF(3, LinearDynamics(0.9), threshold=1e6))
        network.connect("a", "b", LateralInhibition(3, -1000.0))
        currents = {"a": torch.tensor([[[2.0, 0.0, 0.0]]]), "b": torch.full((1, 1, 3), 0.1)}
        network(currents=currents, backend=backend)
        voltages.append(network.neurons["b"].voltage)
    assert torch.equal(*voltages)
    assert voltages[0][0, 0] == torch.tensor(0.1)


@pytest.mark.parametrize("rule", RULES)
def test_a_convolution_learns_the_same_weights_in_every_memory_format(rule: str) -> None:
    weight = torch.rand(3, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    x = torch.rand(10, 2, 2, 5, 5, generator=torch.Generator().manual_seed(1)) < 0.4
    learnt = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        network, trace = Network(), LinearDynamics(0.8)
        network.add("input", Input((2, 5, 5), trace=trace))
        network.add("output", LIF((3, 3, 3), LinearDynamics(0.9), threshold=2.0, trace=trace))
        convolution = Conv2d(2, 3, 3, weight=weight.to(memory_format=memory_format), norm=4.0)
        learnt.append(network.connect("input", "output", convolution).weight)
        network.add_rule(RULES[rule]([convolution]))  # type: ignore[list-item]
        network.normalise()
        network(x, 1.0)
    torch.testing.assert_close(*learnt)
    assert not torch.equal(learnt[0], weight)


@pytest.mark.parametrize("both", [False, True])
def test_weights_that_are_the_transpose_of_others_stay_so(both: bool) -> None:
    network, trace = Network(), LinearDynamics(0.8)
    network.add("input", Input(6, trace=trace))
    network.add("output", LIF(5, LinearDynamics(0.9), threshold=0.7, trace=trace))
    network.add("echo", LIF(6, LinearDynamics(0.9), threshold=0.7, trace=trace))
    first = network.connect("input", "output", Linear(6, 5))
    second = network.connect("output", "echo", Linear(5, 6))
    second.weight.data = first.weight.data.T
    network.add_rule(PairSTDP([first, second] if both else [first], 0.02, 0.05))
    with pytest.raises(ValueError, match="weights of 'output_echo' are those of another connection in another layout"):
        network(spikes(), backend="numba")
    before = first.weight.clone()
    network(spikes(), backend="reference")
    assert torch.equal(second.weight, first.weight.T) and not torch.equal(first.weight, before)
