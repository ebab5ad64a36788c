"""Freezing keeps the outputs, and unfreezing restores the parameters."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from bionets.layers import reset_states, unroll
from bionets.layers.spiking import DSRLITS, LIB, FullyRecurrent, freeze, unfreeze


def network() -> nn.Sequential:
    torch.manual_seed(0)
    lib = LIB(4, learn_threshold=False, spike_fn="arctan", backend="reference")
    dense = FullyRecurrent(DSRLITS(3, quant_fn="round", backend="reference"))
    net = nn.Sequential(nn.Linear(3, 4), lib, nn.Linear(4, 3), dense)
    net[1].raw_beta.requires_grad_(False)
    return net


def run(net: nn.Module, x: Tensor) -> Tensor:
    reset_states(net)
    return unroll(net, x)


@pytest.fixture
def x() -> Tensor:
    return 3 * torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))


def test_a_frozen_model_gives_the_same_outputs_without_raw_parameters(x: Tensor) -> None:
    net = network()
    expected, beta = run(net, x), net[1].beta
    freeze(net)
    freeze(net)
    assert torch.equal(run(net, x), expected) and torch.equal(net[1].beta, beta) and not net[1].beta.requires_grad
    assert not any("raw_" in name for name in net.state_dict()) and "1.beta" in net.state_dict()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(run(other, x), expected)
        unfreeze(other)
        assert torch.equal(run(other, x), expected) and list(other.state_dict()) == list(network().state_dict())


def test_unfreeze_restores_training_exactly(x: Tensor) -> None:
    net, never = network(), network()
    optimisers = [torch.optim.Adam(each.parameters(), lr=0.1) for each in (net, never)]
    before = {name: (parameter, parameter.requires_grad) for name, parameter in net.named_parameters()}
    for number in range(3):
        if number == 1:
            freeze(net)
            run(net, x)
            unfreeze(net)
        for each, optimiser in zip((net, never), optimisers, strict=True):
            optimiser.zero_grad()
            (run(each, x) - 1).square().sum().backward()
            optimiser.step()
    after = dict(net.named_parameters())
    assert list(after) == list(before) and list(net.state_dict()) == list(never.state_dict())
    for name, (parameter, learned) in before.items():
        assert after[name] is parameter and parameter.requires_grad == learned
    for mine, other in zip(net.state_dict().values(), never.state_dict().values(), strict=True):
        assert torch.equal(mine, other)


def test_the_raw_parameters_of_a_frozen_model_change_dtype_with_it(x: Tensor) -> None:
    net = network()
    freeze(net)
    net.double()
    unfreeze(net)
    assert {value.dtype for value in net.state_dict().values()} == {torch.float64}
    run(net, x.double())


def test_frozen_and_unfrozen_models_refuse_the_state_dict_of_each_other() -> None:
    net, frozen = network(), network()
    freeze(frozen)
    with pytest.raises(RuntimeError, match=r"values of 1 are.*call freeze\(model\) first"):
        net.load_state_dict(frozen.state_dict())
    with pytest.raises(RuntimeError, match=r"values of 3\.layer are.*call unfreeze\(model\) first"):
        frozen.load_state_dict(net.state_dict())
    freeze(net)
    net.load_state_dict(frozen.state_dict())


class Doubled(nn.Module):
    def forward(self, raw: Tensor) -> Tensor:
        return 2 * raw


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: prune.custom_from_mask(layer, "raw_beta", torch.tensor([1.0, 0.0, 1.0, 0.0])),
        lambda layer: parametrize.register_parametrization(layer, "raw_beta", Doubled()),
    ],
    ids=["pruned", "parametrised"],
)
def test_pruned_and_parametrised_raw_values_can_be_frozen(change: Callable[[nn.Module], object], x: Tensor) -> None:
    net = network()
    change(net[1])
    expected, names = run(net, x), list(net.state_dict())
    freeze(net)
    assert not net[1].beta.requires_grad
    assert torch.equal(run(net, x), expected)
    reset_states(net)
    assert torch.equal(run(copy.deepcopy(net), x), expected)
    unfreeze(net)
    assert torch.equal(run(net, x), expected) and list(net.state_dict()) == names
    assert net[1].beta.requires_grad == net[1].raw_beta.requires_grad


@pytest.mark.parametrize("value", [0.5, torch.tensor(0.5), nn.Parameter(torch.tensor(0.5))])
def test_values_of_a_frozen_layer_cannot_be_set(value: object) -> None:
    layer = LIB(4)
    freeze(layer)
    with pytest.raises(AttributeError, match=r"LIB is frozen: call unfreeze\(model\) before setting beta"):
        layer.beta = value


def test_what_is_registered_while_a_layer_is_frozen_is_kept() -> None:
    layer = LIB(4)
    freeze(layer)
    layer.register_buffer("mask", torch.ones(4))
    layer.register_parameter("scale", nn.Parameter(torch.full((4,), 2.0)))
    unfreeze(layer)
    assert torch.equal(layer.mask, torch.ones(4)) and torch.equal(layer.scale, torch.full((4,), 2.0))
    assert {"raw_beta", "mask", "scale"} <= layer.state_dict().keys()
