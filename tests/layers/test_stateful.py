"""States that are kept between calls: reset, detach, copy, change of dtype and device, and refused uses."""

import copy
import io
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bionets.layers import (
    BRC,
    RecurrentStigmergicMemory,
    StatefulRecurrent,
    StigmergicMemory,
    StigmergicPerceptron,
    detach_states,
    get_states,
    reset_states,
    set_states,
    unroll,
)
from bionets.layers.spiking import LIB


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        RecurrentStigmergicMemory(3, 4, hidden_layers=1, hidden_size=5),
        nn.Linear(4, 3),
        nn.Sequential(nn.ReLU(), StigmergicMemory(3, 2)),
        StigmergicPerceptron(2, 3, stigmergic_weights=True),
    )


@pytest.fixture
def x() -> Tensor:
    return torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0))


def test_unroll_gives_the_outputs_and_states_of_single_steps(x: Tensor) -> None:
    net = network()
    expected = torch.stack([net(x_t) for x_t in x])
    states = get_states(net)
    assert set(states) == {"0.memory", "2.1.memory", "3.threshold", "3.weights"}
    reset_states(net)
    torch.testing.assert_close(unroll(net, x), expected)
    torch.testing.assert_close(get_states(net), states)


def test_unroll_continues_from_the_kept_states(x: Tensor) -> None:
    net = network()
    whole = unroll(net, x)
    reset_states(net)
    torch.testing.assert_close(torch.cat([unroll(net, x[:3]), unroll(net, x[3:])]), whole)


def test_reset_states_removes_all_states(x: Tensor) -> None:
    net = network()
    first = net(x[0])
    assert not torch.equal(net(x[0]), first)
    reset_states(net)
    assert get_states(net) == {}
    assert torch.equal(net(x[0]), first)


def test_states_can_be_read_and_set(x: Tensor) -> None:
    net = network()
    net(x[0])
    states = get_states(net)
    expected = net(x[1])
    set_states(net, states)
    assert torch.equal(net(x[1]), expected)
    set_states(net, {})
    assert get_states(net) == {}
    with pytest.raises(ValueError, match=r"no state 0\.memery"):
        set_states(net, {"0.memery": states["0.memory"]})


def test_a_batch_of_another_size_gives_an_error_with_the_function_to_call(x: Tensor) -> None:
    net = network()
    net(x[0])
    for call in (lambda: net(x[0, :1]), lambda: unroll(net, x[:, :1])):
        with pytest.raises(ValueError, match=r"RecurrentStigmergicMemory.*\(2, 4\).*\(1, 3\).*reset_states"):
            call()
    reset_states(net)
    net(x[0, :1])


@pytest.mark.parametrize("whole_sequence", [False, True])
def test_a_second_backward_through_an_old_state_gives_an_error_with_the_functions_to_call(
    x: Tensor, whole_sequence: bool
) -> None:
    net = network()
    run = (lambda x: unroll(net, x)) if whole_sequence else (lambda x: net(x[0]))
    run(x).sum().backward()
    with pytest.raises(RuntimeError, match=r"(Stigmergic\w+): a second backward pass.*detach_states.*reset_states"):
        run(x).sum().backward()
    run(x)
    detach_states(net)
    run(x).sum().backward()
    reset_states(net)
    run(x).sum().backward()


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("make", [network, lambda: StatefulRecurrent(BRC(3, 4)), lambda: LIB(3, spike_fn="arctan")])
def test_checkpoints_need_the_states_as_arguments(
    make: Callable[[], nn.Module], use_reentrant: bool, x: Tensor
) -> None:
    """`torch.utils.checkpoint` calls the layers again in the backward pass, when their states are those of the end."""
    model = make().double()
    x = x.double().requires_grad_()

    def run(part: Tensor, states: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        set_states(model, states)
        return unroll(model, part), get_states(model)

    def gradients(*parts: Tensor) -> list[Tensor]:
        states: dict[str, Tensor] = {}
        outputs = []
        for part in parts:
            y, states = checkpoint(run, part, states, use_reentrant=False)
            outputs.append(y)
        return list(torch.autograd.grad(torch.cat(outputs).square().sum(), [x, *model.parameters()]))

    expected = torch.autograd.grad(unroll(model, x).square().sum(), [x, *model.parameters()])
    torch.testing.assert_close(gradients(*x.split(3)), list(expected))
    reset_states(model)
    y = checkpoint(lambda x: unroll(model, x), x, use_reentrant=use_reentrant)
    with pytest.raises(RuntimeError, match="computes the forward pass again, and the layer has changed its state"):
        y.square().sum().backward()


def test_the_graph_may_be_retained(x: Tensor) -> None:
    net = network()
    net(x[0]).sum().backward(retain_graph=True)
    net(x[1]).sum().backward()


def test_detach_states_cuts_the_gradient_and_keeps_the_values(x: Tensor) -> None:
    net = network()
    first = x[0].clone().requires_grad_()
    net(first)
    expected = get_states(net)
    detach_states(net)
    assert all(torch.equal(state, expected[name]) for name, state in get_states(net).items())
    net(x[1]).sum().backward()
    assert first.grad is None


def test_states_are_neither_parameters_nor_in_the_state_dict(x: Tensor) -> None:
    net = network()
    keys, parameters = list(net.state_dict()), len(list(net.parameters()))
    net(x[0])
    assert list(net.state_dict()) == keys and len(list(net.parameters())) == parameters
    fresh = network()
    fresh.load_state_dict(net.state_dict())


def pickled(net: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(net))


def saved(net: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, saved])
def test_copies_keep_the_states(x: Tensor, copied: object) -> None:
    net = network()
    net(x[0])
    other = copied(net)
    expected = net(x[1])
    assert torch.equal(other(x[1]), expected)
    net(x[2])
    assert torch.equal(get_states(other)["0.memory"], get_states(copied(other))["0.memory"])


def test_a_change_of_dtype_keeps_the_states(x: Tensor) -> None:
    net = network()
    net(x[0])
    expected = {name: state.double() for name, state in get_states(net).items()}
    net.double()
    assert all(torch.equal(state, expected[name]) for name, state in get_states(net).items())
    assert net(x[1].double()).dtype == torch.float64


@pytest.mark.parametrize(
    "device",
    ["meta", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))],
)
def test_states_move_with_the_layer(x: Tensor, device: str) -> None:
    net = network()
    net(x[0])
    net.to(device)
    assert {state.device.type for state in get_states(net).values()} == {device}


def test_an_in_place_layer_may_follow_a_stateful_layer(x: Tensor) -> None:
    net = nn.Sequential(StigmergicMemory(3, 4), nn.ReLU(inplace=True))
    for x_t in x:
        y = net(x_t)
    y.sum().backward()
    plain = nn.Sequential(net[0], nn.ReLU())
    reset_states(plain)
    torch.testing.assert_close(torch.stack([plain(x_t) for x_t in x])[-1], y)


def test_a_stigmergic_perceptron_follows_its_equations() -> None:
    torch.manual_seed(0)
    layer = StigmergicPerceptron(3, 4, stigmergic_weights=True).double()
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    threshold, weight = layer.threshold_start.expand(2, 4), layer.weight.expand(2, 4, 3)

    def clamp(s: Tensor) -> Tensor:
        return 2 * torch.sigmoid(2 * s) - 1

    expected = []
    for x_t in x:
        y = torch.sigmoid(torch.einsum("boi,bi->bo", weight, x_t) + layer.bias - threshold)
        threshold = clamp(threshold + layer.mark * y - layer.tick)
        weight = clamp(weight + layer.weight_mark * x_t.unsqueeze(1) - layer.weight_tick)
        expected.append(y)
    found = unroll(layer, x)
    torch.testing.assert_close(found, torch.stack(expected))
    weights = torch.randn_like(found)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), tuple(layer.parameters())),
        torch.autograd.grad((torch.stack(expected) * weights).sum(), tuple(layer.parameters())),
    )


def test_vmap_draws_the_same_random_spikes_for_all_its_calls(x: Tensor) -> None:
    layer = LIB(3)

    def run(x: Tensor) -> Tensor:
        return layer.over_time(x)[0]

    y = torch.vmap(run, randomness="same")(torch.stack([x, x]))
    assert torch.equal(y[0], y[1]) and y.any()
    with pytest.raises(RuntimeError, match="draws random spikes only with randomness='same'"):
        torch.vmap(run, randomness="different")(torch.stack([x, x]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: LIB(3, spike_fn="sigmoid4x", quant_fn="identity"),
        lambda: LIB(3, spike_fn="sigmoid4x", quant_fn="bernoulli"),
        lambda: StatefulRecurrent(nn.GRU(3, 3)),
    ],
    ids=["smooth", "random", "GRU"],
)
def test_gradients_of_torch_func_equal_those_of_autograd(make: Callable[[], nn.Module], x: Tensor) -> None:
    layer = make()

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        reset_states(layer)
        torch.manual_seed(0)
        y = torch.func.functional_call(layer, parameters, (x,), {"whole_sequence": True})
        return y.square().sum()

    parameters = dict(layer.named_parameters())
    found = torch.func.grad(loss)({name: each.detach() for name, each in parameters.items()})
    expected = torch.autograd.grad(loss(parameters), list(parameters.values()))
    torch.testing.assert_close(list(found.values()), list(expected))
