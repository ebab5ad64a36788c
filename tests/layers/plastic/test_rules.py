"""Learning rules, also user-defined ones, change every weight by the sum over its single synapses."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from bionets.layers.plastic import (
    LIF,
    MSTDP,
    MSTDPET,
    Conv2d,
    Input,
    LearningRule,
    Linear,
    LinearDynamics,
    Network,
    OneToOne,
    PairSTDP,
    StableSTDP,
    Synapses,
    TripletSTDP,
    WeightedConnection,
)
from tests.layers.plastic import plastic_naive as naive

pytestmark = pytest.mark.usefixtures("double_precision")

STEPS, BATCH = 20, 2
PRE, POST = (0.8, 0.9), (0.7, 1.1)  # decay and gain of the traces


@pytest.fixture(params=["linear", "conv"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["at once", "delayed"])
def connection(request: pytest.FixtureRequest, kind: str) -> WeightedConnection:
    shape = (8, 3) if kind == "linear" else (2, 2, 2, 2)
    delay: Any = 0 if request.param == "at once" else torch.randint(0, 4, shape)
    options: dict[str, Any] = {"weight": 0.2 + 0.6 * torch.rand(shape), "bounds": (0.1, 0.9), "delay": delay}
    return Linear(8, 3, **options) if kind == "linear" else Conv2d(2, 2, 2, padding=(1, 0), **options)


def network(connection: WeightedConnection, nearest: bool = False) -> Network:
    source, target = ((8,), (3,)) if isinstance(connection, Linear) else ((2, 2, 2), (2, 3, 1))
    net = Network()
    dynamics = LinearDynamics(PRE[0], PRE[1]), LinearDynamics(POST[0], POST[1])
    net.add("input", Input(source, trace=dynamics[0], nearest_spike=nearest, record=["spikes"]))
    options: dict[str, Any] = {"nearest_spike": nearest, "refractory": 1, "record": ["spikes"]}
    net.add("output", LIF(target, LinearDynamics(0.8), threshold=1.5, trace=dynamics[1], **options))
    net.connect("input", "output", connection)
    return net


def observed(net: Network, reward: Any = None, nearest: bool = False) -> list[list[naive.Seen]]:
    """Run the network; what each synapse of each sample saw."""
    x = torch.rand(STEPS, BATCH, *net.neurons["input"].shape) < 0.4
    x[0] = False  # a step without traces
    out = net(x, reward, backend="reference")["output"]
    assert 0.05 < out.double().mean() < 0.8
    connection: Any = net.connections["input_output"]
    return naive.seen(connection, x, out, (*PRE, nearest), (*POST, nearest))


def check(
    rule: LearningRule,
    connection: WeightedConnection,
    change: Callable[[naive.Seen, int, float], float],
    reward: Any = None,
    nearest: bool = False,
) -> None:
    before = connection.weight.clone()
    net = network(connection, nearest)
    net.learn(rule)
    expected = naive.learn(before, observed(net, reward, nearest), connection.bounds, change)
    torch.testing.assert_close(connection.weight.data, expected, rtol=0, atol=1e-9)
    assert not torch.equal(connection.weight, before)


@pytest.mark.parametrize(("nearest", "exponent"), [(False, 0.0), (True, 1.0), (False, 0.5)])
def test_pair_stdp_equals_the_sum_over_single_synapses(
    connection: WeightedConnection, nearest: bool, exponent: float
) -> None:
    low, high = connection.bounds

    def change(s: naive.Seen, t: int, w: float) -> float:
        up = 0.05 * (high - w) ** exponent * (s.pre_trace[t] - 0.3) * s.post_spikes[t]
        return up - 0.04 * (w - low) ** exponent * s.pre_spikes[t] * s.post_trace[t]

    check(PairSTDP([connection], 0.05, 0.04, 0.3, exponent), connection, change, nearest=nearest)


@pytest.mark.parametrize(("nearest", "exponent"), [(False, 0.0), (True, 1.0), (False, 0.5)])
def test_triplet_stdp_equals_the_sum_over_single_synapses(
    connection: WeightedConnection, nearest: bool, exponent: float
) -> None:
    low, high = connection.bounds

    def before(spikes: list[bool], decay: float, t: int) -> float:
        """A slow trace just before step t."""
        return decay * naive.traces(spikes, decay, 1.0, nearest)[t - 1] if t else 0.0

    def change(s: naive.Seen, t: int, w: float) -> float:
        up = s.pre_trace[t] * (0.02 + 0.05 * before(s.post_spikes, 0.85, t)) * s.post_spikes[t]
        down = s.post_trace[t] * (0.03 + 0.02 * before(s.pre_spikes, 0.9, t)) * s.pre_spikes[t]
        return (high - w) ** exponent * up - (w - low) ** exponent * down

    rule = TripletSTDP([connection], 0.02, 0.03, 0.05, 0.02, 0.9, 0.85, nearest, exponent)
    check(rule, connection, change, nearest=nearest)


def pair(s: naive.Seen, t: int) -> float:
    return 0.9 * s.pre_trace[t] * s.post_spikes[t] - 0.4 * s.pre_spikes[t] * s.post_trace[t]


def eligibility(s: naive.Seen, t: int, decay: float) -> float:
    return sum(decay ** (t - k) * pair(s, k) for k in range(t + 1))


@pytest.mark.parametrize("decay", [None, 0.8])
def test_reward_modulated_rules_equal_the_sum_over_single_synapses(
    connection: WeightedConnection, decay: float | None
) -> None:
    rewards = torch.randn(STEPS, 1)

    def change(s: naive.Seen, t: int, w: float) -> float:
        return 0.03 * float(rewards[t]) * eligibility(s, t, decay or 0.0)

    rule = MSTDP([connection], 0.03, 0.9, 0.4) if decay is None else MSTDPET([connection], 0.03, 0.9, 0.4, decay)
    check(rule, connection, change, rewards)


def test_each_sample_may_have_its_own_delayed_reward(connection: WeightedConnection) -> None:
    before, reward = connection.weight.clone(), torch.tensor([1.0, -0.5])
    net = network(connection)
    net.learn(MSTDPET([connection], 0.03, 0.9, 0.4, 0.8))
    samples = observed(net)
    assert torch.equal(connection.weight, before)
    net.reinforce(reward)
    expected = before.clone()
    for sample, r in zip(samples, reward.tolist(), strict=True):
        for s in sample:
            expected[s.weight] += 0.03 * r * eligibility(s, STEPS - 1, 0.8) / BATCH
    torch.testing.assert_close(connection.weight.data, expected.clamp(*connection.bounds))


def test_mstdp_with_a_reward_of_one_equals_pair_stdp() -> None:
    x, weights = torch.rand(STEPS, BATCH, 8) < 0.4, []
    start = 0.2 + 0.6 * torch.rand(8, 3)
    for rule in (PairSTDP, MSTDP):
        connection = Linear(8, 3, weight=start)
        net = network(connection)
        net.learn(rule([connection], potentiation=0.05, depression=0.04, **({"rate": 1.0} if rule is MSTDP else {})))
        net(x, 1.0)
        weights.append(connection.weight.data)
    torch.testing.assert_close(*weights)
    assert not torch.allclose(weights[0], start)


@pytest.mark.parametrize("at_spikes", [False, True])
def test_stable_stdp_is_the_mean_over_the_positions_that_share_a_weight(
    connection: WeightedConnection, at_spikes: bool
) -> None:
    net = network(connection)
    net.learn(StableSTDP([connection], 0.01, 0.4, 0.1, at_spikes=at_spikes))
    before = connection.weight.clone()
    samples = observed(net)
    shares: dict[int, list[float]] = {}
    for sample in samples:
        largest = [max(s.pre_trace[t] for s in sample) for t in range(STEPS)]
        changing = {s.post: [fired or not at_spikes for fired in s.post_spikes] for s in sample}
        for s in sample:
            s.pre_trace = [trace / top if top else 0.0 for trace, top in zip(s.pre_trace, largest, strict=True)]
            sharing = [each for post, each in changing.items() if post[0] == s.post[0]]
            shares[id(s)] = [changing[s.post][t] / max(1, sum(each[t] for each in sharing)) for t in range(STEPS)]

    def change(s: naive.Seen, t: int, w: float) -> float:
        x = s.pre_trace[t]
        up, down = math.exp(-(w - 0.4)) * (math.exp(x) - 0.1), math.exp(w - 0.4) * (math.exp(1 - x) - 0.1)
        return 0.01 * (up - down) * shares[id(s)][t]

    expected = naive.learn(before, samples, connection.bounds, change)
    torch.testing.assert_close(connection.weight.data, expected, rtol=0, atol=1e-9)


def test_a_batch_learns_the_mean_of_its_samples() -> None:
    connection = Linear(8, 3, bounds=(-9.0, 9.0), weight=torch.full((8, 3), 0.5))
    net = network(connection)
    net.learn(PairSTDP([connection]))
    x = torch.rand(1, 4, 8) < 0.5
    start, changes = connection.weight.clone(), []
    for b in range(4):
        net.reset()
        connection.weight.data = start.clone()
        net(x[:, b : b + 1])
        changes.append(connection.weight - start)
    net.reset()
    connection.weight.data = start.clone()
    net(x)
    torch.testing.assert_close(connection.weight - start, torch.stack(changes).mean(0))


def test_groups_of_connections_have_their_own_options() -> None:
    first, second, third = Linear(2, 2), Linear(2, 2), Linear(2, 2)
    rule = PairSTDP(
        [{"connections": [first, third], "depression": 0.5}, {"connections": second}], potentiation=0.1, depression=0.2
    )
    found = {c: (options.potentiation, options.depression) for c, options in rule}
    assert found == {first: (0.1, 0.5), third: (0.1, 0.5), second: (0.1, 0.2)}
    rule.groups[1]["potentiation"] = 0.0  # as with optimisers: options may change between presentations
    assert next(options for c, options in rule if c is second).potentiation == 0.0


class Hebbian(LearningRule):
    """Fire together, wire together."""

    def __init__(self, connections: list[WeightedConnection], rate: float = 0.1) -> None:
        super().__init__(connections, rate=rate)

    def change(self, synapses: Synapses, options: SimpleNamespace) -> Tensor:
        return options.rate * synapses.correlate(synapses.pre_trace, synapses.post_spikes)


def test_a_user_rule_equals_the_sum_over_single_synapses(connection: WeightedConnection) -> None:
    check(Hebbian([connection]), connection, lambda s, t, w: 0.1 * s.pre_trace[t] * s.post_spikes[t])


def test_invalid_rules_and_options_are_refused() -> None:
    first = Linear(2, 2)
    with pytest.raises(ValueError, match="PairSTDP has no option 'rate'; choose from potentiation, depression"):
        PairSTDP([{"connections": [first], "rate": 0.1}])
    with pytest.raises(ValueError, match="PairSTDP got no connections"):
        PairSTDP([])
    with pytest.raises(ValueError, match="in more than one group"):
        PairSTDP([first, first])
    with pytest.raises(TypeError, match="PairSTDP changes Linear and Conv2d, not OneToOne"):
        PairSTDP([OneToOne(2, 1.0)])
    net = Network()
    net.add("input", Input(2))
    net.add("output", LIF(2, LinearDynamics(0.9)))
    net.connect("input", "output", first)
    with pytest.raises(ValueError, match="a connection of its groups is not in the network"):
        net.learn(PairSTDP([Linear(2, 2)]))
    net.learn(PairSTDP([first]))
    for backend in ("reference", "numba"):
        with pytest.raises(ValueError, match=r"needs a trace of the source: Input\(\.\.\., trace=\.\.\.\)"):
            net(torch.ones(1, 1, 2), backend=backend)
    unbounded = Linear(8, 3, bounds=(0.0, math.inf))
    net = network(unbounded)
    net.learn(PairSTDP([unbounded], weight_dependence=1.0))
    for backend in ("reference", "numba"):
        with pytest.raises(ValueError, match="needs finite bounds"):
            net(torch.ones(1, 1, 8), backend=backend)
    net.rules[0].groups[0]["weight_dependence"] = -1.0
    for backend in ("reference", "numba"):
        with pytest.raises(ValueError, match="weight_dependence must not be negative"):
            net(torch.ones(1, 1, 8), backend=backend)
