"""Networks: cycles, sums of currents, states, dtypes and devices, learning, and refused input."""

import contextlib
import copy
import io
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from bionets.layers import get_states, load_states, reset_states, save_states, set_states, unroll
from bionets.layers.plastic import (
    IF,
    LIF,
    MSTDPET,
    AdaptiveLIF,
    Conv2d,
    Input,
    LateralInhibition,
    LearningRule,
    Linear,
    LinearDynamics,
    MaxPool2d,
    Network,
    Neuron,
    OneToOne,
    PairSTDP,
    TraceLIF,
    TripletSTDP,
)
from bionets.layers.stateful import temporary_states

BACKENDS = ("reference", "numba")


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def diehl_and_cook(inputs: int = 20, size: int = 6) -> Network:
    network = Network()
    trace = LinearDynamics(0.95)
    network.add("pixels", Input(inputs, trace=trace, nearest_spike=True))
    options: dict[str, Any] = {"rest": -65.0, "reset": -60.0, "threshold": -52.0, "refractory": 5, "trace": trace}
    adaptation = LinearDynamics(0.999, scale=0.05)
    network.add("excitatory", AdaptiveLIF(size, LinearDynamics(0.99), adaptation, homeostasis=True, **options))
    network.add("inhibitory", LIF(size, LinearDynamics(0.9), rest=-60.0, reset=-45.0, threshold=-40.0, refractory=2))
    learnt = network.connect("pixels", "excitatory", Linear(inputs, size, norm=2.0 * size))
    network.connect("excitatory", "inhibitory", OneToOne(size, 22.5))
    network.connect("inhibitory", "excitatory", LateralInhibition(size, -17.5))
    network.add_rule(PairSTDP([learnt], potentiation=1e-2, depression=1e-3))
    return network


def spikes(*shape: int, rate: float = 0.3) -> Tensor:
    return torch.rand(shape) < rate


@pytest.mark.parametrize("backend", BACKENDS)
def test_spikes_reach_later_groups_in_the_same_step_and_earlier_ones_in_the_next(backend: str) -> None:
    network = Network()
    for name, neurons in (("a", Input(1)), ("b", IF(1)), ("c", IF(1)), ("d", IF(1))):
        network.add(name, neurons)
    one = torch.ones(1, 1)
    network.connect("a", "c", Linear(1, 1, weight=one))
    network.connect("c", "b", Linear(1, 1, weight=one))  # back
    network.connect("b", "d", Linear(1, 1, weight=one))
    network.connect("d", "d", Linear(1, 1, weight=one))  # to itself: after one spike it spikes at every step
    out = network(torch.tensor([0, 1, 0, 0, 0]).reshape(5, 1, 1), backend=backend)
    assert {name: s.flatten().int().tolist() for name, s in out.items()} == {
        "b": [0, 0, 1, 0, 0],
        "c": [0, 1, 0, 0, 0],
        "d": [0, 0, 1, 1, 1],
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_currents_of_all_connections_add_up(backend: str) -> None:
    network = Network()
    network.add("left", Input(2, trace=LinearDynamics(0.5)))
    network.add("right", Input(3, trace=LinearDynamics(0.8)))
    network.add("sum", LIF(2, LinearDynamics(0.0), threshold=100.0, record=["voltage"]))
    network.add("difference", TraceLIF(2, LinearDynamics(0.0), threshold=100.0, record=["voltage"]))
    weight, other = torch.rand(2, 2), torch.rand(3, 2)
    for target in ("sum", "difference"):
        network.connect("left", target, Linear(2, 2, weight=weight))
        network.connect("right", target, Linear(3, 2, weight=other))
    left, right = spikes(6, 2, 2), spikes(6, 2, 3)
    network({"left": left, "right": right}, backend=backend)
    expected = left.float() @ weight + right.float() @ other
    torch.testing.assert_close(network.neurons["sum"].history["voltage"], expected)
    seen, subtracted = [torch.zeros(2, 2), torch.zeros(2, 3)], []
    for t in range(6):
        seen = [0.5 * seen[0] + left[t], 0.8 * seen[1] + right[t]]
        subtracted.append(seen[0].sum(1, keepdim=True) + seen[1].sum(1, keepdim=True))
    torch.testing.assert_close(network.neurons["difference"].history["voltage"], expected - torch.stack(subtracted))


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_presentation_equals_its_single_steps(backend: str) -> None:
    network, x = diehl_and_cook(), spikes(30, 2, 20)
    other = copy.deepcopy(network)
    whole = network(x, backend=backend)
    steps = [other(step.unsqueeze(0), backend=backend) for step in x]
    assert whole["excitatory"].any() and whole["inhibitory"].any()
    for name, out in whole.items():
        assert torch.equal(out, torch.cat([step[name] for step in steps]))
    assert torch.equal(*(net.connections["pixels_excitatory"].weight for net in (network, other)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sample_does_not_depend_on_its_batch(backend: str) -> None:
    network, x = diehl_and_cook().eval(), spikes(30, 3, 20)
    together = network(x, backend=backend)
    for b in range(3):
        network.reset()
        alone = network(x[:, b : b + 1], backend=backend)
        for name, out in together.items():
            assert torch.equal(out[:, b], alone[name][:, 0])


def test_learning_happens_in_training_mode_only() -> None:
    network, x = diehl_and_cook(), spikes(30, 1, 20)
    before = copy.deepcopy(network.state_dict())
    network.eval()(x)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network.reset()
    network.train()(x)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"connections.pixels_excitatory.weight", "neurons.excitatory.adaptation"}


def test_reset_clears_states_and_eligibility_and_keeps_the_weights() -> None:
    network, dynamics = diehl_and_cook(), LinearDynamics(0.9)
    network.add("late", LIF(6, dynamics, trace=dynamics))
    learnt = network.connect("pixels", "late", Linear(20, 6, delay=2))
    rule = MSTDPET([learnt])
    network.add_rule(rule)
    network(spikes(20, 2, 20), backend="reference")
    assert get_states(network) and rule.state[learnt]
    weight = network.connections["pixels_excitatory"].weight.clone()
    network.reset()
    assert not get_states(network) and not rule.state[learnt]
    assert torch.equal(network.connections["pixels_excitatory"].weight, weight)
    network(spikes(20, 5, 20), backend="reference")  # any batch is fine now


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
@pytest.mark.parametrize("parametrised", [False, True])
def test_weights_that_are_computed_from_others_are_refused_where_they_would_change(
    backend: str, parametrised: bool
) -> None:
    network, x = diehl_and_cook(), spikes(30, 2, 20, rate=0.5)
    learnt = network.connections["pixels_excitatory"]
    network.rules.append(MSTDPET([learnt]))
    network(x, backend="reference")
    if parametrised:
        parametrize.register_parametrization(learnt, "weight", nn.Softplus())
    else:
        prune.random_unstructured(learnt, "weight", 0.3)
    kept = get_states(network)
    for changes in (partial(network, x, backend=backend), network.normalise, partial(network.reinforce, 1.0)):
        with pytest.raises(ValueError, match="Linear: weights that are pruned or parametrised cannot change: call"):
            changes()
    assert all(torch.equal(state, kept[name]) for name, state in get_states(network).items())
    assert network.eval()(x, backend="reference")["excitatory"].shape == (30, 2, 6)
    if parametrised:
        parametrize.remove_parametrizations(learnt, "weight")
    else:
        prune.remove(learnt, "weight")
    before = learnt.weight.clone()
    network.train()(x, backend="reference")
    assert not torch.equal(learnt.weight, before)


def test_normalise_scales_all_connections_that_have_a_norm() -> None:
    network = Network()
    for name in ("a", "b"):
        network.add(name, IF(6))
    weights = [
        network.connect(source, "b", Linear(6, 6, norm=norm), name=name).weight
        for name, source, norm in (("one", "a", 0.5), ("free", "a", None), ("other", "b", 1.0))
    ]
    before = weights[1].clone()
    network.normalise()
    torch.testing.assert_close(weights[0].sum(0), torch.full((6,), 0.5))
    assert torch.equal(weights[1], before)
    torch.testing.assert_close(weights[2].sum(0), torch.full((6,), 1.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_spikes_in_flight_of_a_batch_of_another_size_are_refused(backend: str) -> None:
    network = Network()
    network.add("input", Input(2))
    network.add("output", IF(2))
    network.connect("input", "output", Linear(2, 2, delay=3))
    network(spikes(4, 2, 2), backend=backend)
    for neurons in network.neurons.values():
        reset_states(neurons)
    with pytest.raises(ValueError, match="spikes of a batch of 2 are in flight but the input has 3"):
        network(spikes(4, 3, 2), backend=backend)


def test_a_network_continues_from_states_that_were_set() -> None:
    network, x = diehl_and_cook().eval(), spikes(30, 2, 20)
    whole = network(x)["excitatory"]
    network.reset()
    network(x[:12])
    kept = get_states(network)
    reset_states(network)
    set_states(network, kept)
    assert torch.equal(network(x[12:])["excitatory"], whole[12:])


def test_learnt_weights_are_saved_and_loaded_without_pickle(tmp_path: Path) -> None:
    network, x = diehl_and_cook(), spikes(30, 2, 20)
    network(x)
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    for loaded in (load_file(tmp_path / "network.safetensors"), torch.load(buffer, weights_only=True)):
        torch.manual_seed(5)
        other = diehl_and_cook().eval()
        other.load_state_dict(loaded)
        network.eval().reset()
        assert torch.equal(network(x)["excitatory"], other(x)["excitatory"])


def test_a_network_changes_dtype_and_device_with_its_states() -> None:
    network, dynamics = diehl_and_cook(), LinearDynamics(0.9)
    network.add("more", LIF(6, dynamics, trace=dynamics))
    network.add_rule(TripletSTDP([network.connect("pixels", "more", Linear(20, 6))]))
    network(spikes(10, 2, 20))
    network.double()
    assert {s.dtype for s in get_states(network).values()} == {torch.float64, torch.bool, torch.int32}
    assert {v.dtype for state in network.rules[1].state.values() for v in state.values()} == {torch.float64}
    network(spikes(10, 2, 20))
    network(spikes(10, 2, 20), backend="reference")
    network.to("meta")
    everything = [*network.parameters(), *network.buffers(), *network.rules[1].state.popitem()[1].values()]
    assert {tensor.device.type for tensor in everything} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_results_of_the_cpu() -> None:
    network, x = diehl_and_cook().double(), spikes(30, 2, 20)
    other = copy.deepcopy(network).cuda()
    ours, theirs = network(x), other(x.cuda())
    assert other.backend != "numba" and theirs["excitatory"].is_cuda
    assert torch.equal(ours["excitatory"], theirs["excitatory"].cpu())
    torch.testing.assert_close(network.state_dict(), {name: v.cpu() for name, v in other.state_dict().items()})


def test_convolution_pooling_and_linear_connections_can_be_combined() -> None:
    network, dynamics = Network(), LinearDynamics(0.9)
    network.add("image", Input((1, 6, 6), trace=dynamics))
    network.add("features", LIF((2, 4, 4), dynamics, trace=dynamics))
    network.add("pooled", IF((2, 2, 2), trace=dynamics))
    network.add("output", LIF(3, dynamics, trace=dynamics))
    conv = network.connect("image", "features", Conv2d(1, 2, 3, norm=1.5))
    network.connect("features", "pooled", MaxPool2d(2))
    linear = network.connect("pooled", "output", Linear(8, 3, delay=1))
    network.add_rule(PairSTDP([conv, linear]))
    weight = conv.weight.clone()
    with pytest.warns(UserWarning, match="reference backend"):
        out = network(spikes(20, 2, 1, 6, 6))
    assert {name: tuple(s.shape) for name, s in out.items()} == {
        "features": (20, 2, 2, 4, 4),
        "pooled": (20, 2, 2, 2, 2),
        "output": (20, 2, 3),
    }
    windows = out["features"].reshape(20, 2, 2, 2, 2, 2, 2).permute(0, 1, 2, 3, 5, 4, 6).flatten(5).any(5)
    assert torch.equal(out["pooled"], windows)
    assert not torch.equal(conv.weight, weight)
    network.normalise()
    torch.testing.assert_close(conv.weight.sum((1, 2, 3)), torch.full((2,), 1.5))


class Echo(Neuron):
    """Neurons that spike wherever a current comes in."""

    def integrate(self, current: Tensor) -> Tensor:
        self.fire(current > 0)
        return current > 0


def test_user_neurons_run_on_the_reference_backend() -> None:
    network, trace = Network(), LinearDynamics(0.9)
    network.add("input", Input(3, trace=trace))
    network.add("echo", Echo(3, trace=trace, record=["trace"]))
    network.add("alone", IF(2))
    network.connect("input", "echo", OneToOne(3, 1.0))
    learnt = network.connect("echo", "echo", Linear(3, 3, weight=torch.zeros(3, 3)))
    network.add_rule(PairSTDP([learnt], potentiation=0.0, depression=0.1))  # nothing to take off
    x = spikes(10, 2, 3)
    with pytest.raises(ValueError, match="'echo' are neurons of the kind Echo"):
        network(x, backend="numba")
    out = network(x, backend="reference")
    assert torch.equal(out["echo"], x) and not out["alone"].any()
    assert network.neurons["echo"].history["trace"].shape == (10, 2, 3)


def test_half_precision_is_kept() -> None:
    network = diehl_and_cook().to(torch.bfloat16)
    network.add("unconnected", LIF(2, LinearDynamics(0.9)))
    network.to(torch.bfloat16)
    network(spikes(10, 2, 20), backend="reference")
    floats = {s.dtype for s in (*get_states(network).values(), *network.parameters()) if s.is_floating_point()}
    assert floats == {torch.bfloat16}


def test_parameters_outputs_and_states_require_no_gradient() -> None:
    network = diehl_and_cook()
    out = network(spikes(10, 1, 20))
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(tensor.requires_grad for tensor in (*out.values(), *get_states(network).values()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_single_neuron_needs_no_axis(backend: str) -> None:
    x, found = spikes(30, 2), []
    for shape in ((), (1,)):
        network, trace = Network(), LinearDynamics(0.8, scale=0.2)
        network.add("input", Input(shape, trace=trace))
        network.add("output", TraceLIF(shape, LinearDynamics(0.9), threshold=0.2, trace=trace))
        learnt = network.connect("input", "output", Linear(1, 1, weight=torch.ones(1, 1)))
        network.connect("output", "output", OneToOne(1, 0.5, delay=1))
        network.add_rule(PairSTDP([learnt], 0.1, 0.05))
        found.append((network(x.view(30, 2, *shape), backend=backend)["output"].view(30, 2), learnt.weight))
    torch.testing.assert_close(found[0], found[1])
    assert found[0][0].any()


def test_invalid_networks_and_inputs_are_refused() -> None:
    network = diehl_and_cook()
    with pytest.raises(ValueError, match="already has neurons called 'pixels'"):
        network.add("pixels", Input(3))
    for name in ("layer.1", "", "values"):
        with pytest.raises(ValueError, match=f"{name!r} cannot be a name in the network"):
            network.add(name, Input(3))
    with pytest.raises(ValueError, match=r"'a\.b' cannot be a name in the network"):
        network.connect("pixels", "excitatory", Linear(20, 6), name="a.b")
    with pytest.raises(ValueError, match="the neurons to be called 'again' are in the network already"):
        network.add("again", network.neurons["pixels"])
    with pytest.raises(ValueError, match="the connection to be called 'again' is in the network already"):
        network.connect("pixels", "excitatory", network.connections["pixels_excitatory"], name="again")
    with pytest.raises(ValueError, match="no neurons called 'output', only pixels, excitatory, inhibitory"):
        network.connect("pixels", "output", Linear(20, 6))
    with pytest.raises(ValueError, match=r"Linear\(20, 7\) does not fit between \(20,\) and \(6,\)"):
        network.connect("pixels", "excitatory", Linear(20, 7), name="wrong")
    assert "wrong" not in network.connections and "wrong" not in network.paths
    with pytest.raises(ValueError, match="'pixels' is an Input"):
        network.connect("excitatory", "pixels", Linear(6, 20))
    with pytest.raises(ValueError, match="already has a connection called 'pixels_excitatory'"):
        network.connect("pixels", "excitatory", Linear(20, 6))
    with pytest.raises(TypeError, match=r"expected a Connection of bionets.layers.plastic, got a torch.*\.Linear"):
        network.connect("pixels", "excitatory", nn.Linear(20, 6), name="of torch")  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"expected a Neuron of bionets.layers.plastic, got a torch.*ReLU"):
        network.add("of torch", nn.ReLU())  # type: ignore[type-var]
    with pytest.raises(TypeError, match="expected a LearningRule"):
        network.add_rule(PairSTDP)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="this PairSTDP is in the network already: make another one"):
        network.add_rule(network.rules[0])
    network.connect("pixels", "excitatory", Linear(20, 6), name="second")
    network.add("tracing", TraceLIF(6, LinearDynamics(0.9)))
    with pytest.raises(ValueError, match="subtracts presynaptic traces, but 'inhibitory' has none"):
        network.connect("inhibitory", "tracing", Linear(6, 6))
    with pytest.raises(ValueError, match=r"'pixels': expected spikes of shape \[T, B, 20\], got \(30, 20\)"):
        network(spikes(30, 20))
    for given, message in (
        (
            spikes(3, 2, 20).numpy(),
            "x must be a tensor of spikes or a dict of them by the names of inputs, got a ndarray",
        ),
        ({"pixels": [0, 1]}, "'pixels': spikes must be a tensor, got a list"),
    ):
        with pytest.raises(TypeError, match=message):
            network(given)
    with pytest.raises(ValueError, match="spikes must be 0 or 1"):
        network(torch.rand(30, 2, 20))
    with pytest.raises(ValueError, match="spikes are given for pixel; the inputs are pixels"):
        network({"pixel": spikes(30, 2, 20)})
    network(spikes(3, 2, 20))
    with pytest.raises(ValueError, match="Input: the kept spikes has shape"):
        network(spikes(3, 1, 20))
    network.add("more", Input(2))
    with pytest.raises(ValueError, match=r"the network has 2 inputs \(pixels, more\)"):
        network(spikes(3, 2, 20))
    with pytest.raises(ValueError, match="need the same steps and batch"):
        network({"pixels": spikes(3, 2, 20), "more": spikes(4, 2, 2)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "none"}, "unknown backend 'none'"),
        ({"reward": torch.ones(7)}, r"a number as reward, \[B\] or \[T, B\] = \[3, 2\], got \(7,\)"),
        ({"currents": {"excitatory": torch.ones(3, 2, 6, device="meta")}}, "all inputs must be on one device"),
    ],
)
def test_a_refused_call_leaves_no_states(options: dict[str, Any], message: str) -> None:
    network = diehl_and_cook()
    with pytest.raises(ValueError, match=message):
        network(spikes(3, 2, 20), **options)
    assert network(spikes(3, 5, 20))["excitatory"].shape == (3, 5, 6)


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
def test_a_network_on_another_device_is_refused(backend: str) -> None:
    network = diehl_and_cook()
    network(spikes(3, 2, 20))
    network.connections["inhibitory_excitatory"].to("meta")
    with pytest.raises(ValueError, match="the network is on meta and its input on cpu: move one of them"):
        network(spikes(3, 2, 20), backend=backend)


def test_a_network_within_unroll_is_refused() -> None:
    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = diehl_and_cook()

        def forward(self, x: Tensor) -> Tensor:
            return self.network(x)["excitatory"]

    with pytest.raises(RuntimeError, match=r"^Network is called within unroll"):
        unroll(Counted(), spikes(3, 2, 20))


def test_reinforce_accepts_one_reward_or_one_for_each_sample() -> None:
    network = diehl_and_cook()
    learnt = network.connections["pixels_excitatory"]
    network.rules = [MSTDPET([learnt])]  # type: ignore[list-item]
    network(spikes(20, 2, 20))
    before = learnt.weight.clone()
    with pytest.raises(ValueError, match=r"expected one reward, or one for each of 2 samples, got \(3,\)"):
        network.reinforce(torch.ones(3))
    assert torch.equal(learnt.weight, before)
    network.reinforce(torch.ones(1, 1))
    assert not torch.equal(learnt.weight, before)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("later", [False, True])
def test_a_reward_that_is_a_number_is_not_rounded_in_double_precision(backend: str, later: bool) -> None:
    x, weights = spikes(20, 2, 4), []
    for reward in (0.3, torch.tensor(0.3, dtype=torch.float64)):
        network = eligible().double()
        network(x, None if later else reward, backend=backend)
        if later:
            network.reinforce(reward)
        weights.append(network.connections["input_rewarded"].weight)
    assert torch.equal(*weights)


def test_reinforce_acts_on_all_reward_modulated_rules() -> None:
    network = eligible()
    learnt = network.connect("input", "triplet", Linear(4, 3), name="second")
    network.add_rule(MSTDPET([learnt]))
    network(spikes(20, 2, 4))
    before = {name: each.weight.clone() for name, each in network.connections.items()}  # type: ignore[operator]
    network.reinforce(1.0)
    changed = {name for name, weight in before.items() if not torch.equal(network.connections[name].weight, weight)}
    assert changed == {"input_rewarded", "second"}


def test_old_names_are_deprecated() -> None:
    from bionets.layers import plastic

    with pytest.warns(DeprecationWarning, match="LateralInhibition"):
        assert plastic.AllButOne is plastic.LateralInhibition
    with pytest.raises(AttributeError, match="NoSuchName"):
        _ = plastic.NoSuchName
    network = plastic.Network()
    with pytest.warns(DeprecationWarning, match="add_rule"), contextlib.suppress(TypeError):
        network.learn(())  # type: ignore[arg-type]


def eligible() -> Network:
    """A network with a reward-modulated and a triplet rule."""
    torch.manual_seed(0)
    network, dynamics = Network(), LinearDynamics(0.9)
    network.add("input", Input(4, trace=dynamics))
    for name, rule in (("rewarded", MSTDPET), ("triplet", TripletSTDP)):
        network.add(name, LIF(3, dynamics, trace=dynamics))
        learnt = network.connect("input", name, Linear(4, 3, weight=0.5 * torch.rand(4, 3)))
        network.add_rule(rule([learnt]))
    return network


@pytest.mark.parametrize("backend", BACKENDS)
def test_states_of_rules_are_saved_with_the_states_of_the_neurons(backend: str, tmp_path: Path) -> None:
    x, network, other = spikes(20, 2, 4), eligible(), eligible()
    network(x[:10], backend=backend)
    save_states(network, tmp_path / "states.safetensors")
    other.load_state_dict(network.state_dict())
    load_states(other, tmp_path / "states.safetensors")
    for each in (network, other):
        each(x[10:], backend=backend)
        each.reinforce(1.0)
    assert set(get_states(network)) >= {
        "rule_states.0.eligibility",
        "rule_states.1.slow_pre",
        "rule_states.1.slow_post",
    }
    assert network.state_dict().keys() == other.state_dict().keys() == eligible().state_dict().keys()
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, other.state_dict()[name])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_look_with_temporary_states_does_not_change_what_a_reward_acts_on(backend: str) -> None:
    network, other, x = eligible(), eligible(), spikes(20, 2, 4)
    for each in (network, other):
        each(x, backend=backend)
    with temporary_states(other.eval()):
        other(1 - spikes(6, 2, 4).float(), backend=backend)
    for each in (network, other):
        each.reinforce(1.0)
    assert torch.equal(*(each.connections["input_rewarded"].weight for each in (network, other)))


def test_states_that_a_rule_does_not_name_are_reset_too() -> None:
    class Counting(LearningRule):
        def change(self, synapses: Any, options: Any) -> None:
            synapses.state["steps"] = synapses.state.get("steps", torch.zeros(())) + 1

    network = eligible()
    rule = Counting([network.connections["input_rewarded"]])
    network.add_rule(rule)
    (state,) = rule.state.values()
    network(spikes(5, 2, 4), backend="reference")
    assert list(state) == ["steps"] and state["steps"] == 5
    reset_states(network)
    assert not state and "steps" not in state


def test_a_reset_of_the_network_resets_what_a_rule_keeps_elsewhere() -> None:
    class Counting(PairSTDP):
        steps = 0

        def reset(self) -> None:
            super().reset()
            self.steps = 0

    network = eligible()
    rule = Counting([network.connections["input_rewarded"]])
    network.add_rule(rule)
    rule.steps = 5
    network.reset()
    assert rule.steps == 0
