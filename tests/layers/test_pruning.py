"""Pruned and parametrised weights take effect wherever they are used."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from bionets.layers import CoRNN, PeepholeLSTM, SpatialRecurrent, reset_states, unroll
from bionets.layers.spiking import LIB, RLIB, FullyRecurrent


def smooth(kind: type[LIB] | type[RLIB]) -> LIB | RLIB:
    return kind(4, spike_fn="sigmoid4x", quant_fn="identity")


def test_pruning_a_parameter_without_a_constraint_takes_effect() -> None:
    layer = smooth(RLIB)
    layer.rec_weight = torch.arange(4.0)
    expected = copy.deepcopy(layer)
    expected.rec_weight = torch.tensor([0.0, 0.0, 2.0, 3.0])
    prune.custom_from_mask(layer, "rec_weight", torch.tensor([0, 0, 1, 1]))
    x = torch.randn(5, 2, 4)
    torch.testing.assert_close(unroll(layer, x), unroll(expected, x))
    prune.remove(layer, "rec_weight")
    assert layer.rec_weight.tolist() == [0, 0, 2, 3]


def test_setting_a_pruned_value_is_refused() -> None:
    layer = smooth(LIB)
    prune.random_unstructured(layer, "raw_beta", 0.5)
    with pytest.raises(AttributeError, match="set what beta is made of, since raw_beta is computed"):
        layer.beta = 0.5


def test_neurons_of_a_fully_recurrent_layer_are_pruned_at_each_call() -> None:
    layer, x = FullyRecurrent(smooth(LIB)), torch.randn(5, 2, 4)
    prune.custom_from_mask(layer.layer, "raw_beta", torch.tensor([0, 1, 0, 1]))
    optimizer = torch.optim.SGD(layer.parameters(), 1.0)
    for _ in range(2):
        reset_states(layer)
        optimizer.zero_grad()
        y = unroll(layer, x)
        expected = FullyRecurrent(smooth(LIB))
        with torch.no_grad():
            expected.weight.copy_(layer.weight)
            expected.layer.raw_threshold.copy_(layer.layer.raw_threshold)
            expected.layer.raw_beta.copy_(layer.layer.raw_beta_orig * torch.tensor([0, 1, 0, 1]))
        torch.testing.assert_close(y, unroll(expected, x))
        y.sum().backward()
        optimizer.step()


@pytest.mark.parametrize("make", [PeepholeLSTM, CoRNN, nn.GRU])
@pytest.mark.parametrize("how", ["pruned", "parametrised"])
def test_the_wiring_cost_of_pruned_or_parametrised_weights_equals_the_plain_one(
    make: type[nn.Module], how: str
) -> None:
    plain = SpatialRecurrent(make(3, 4))
    changed = copy.deepcopy(plain)
    if how == "pruned":
        prune.custom_from_mask(changed.layer, "weight_hh_l0", torch.ones_like(changed.layer.weight_hh_l0))
    else:
        parametrizations.weight_norm(changed.layer, "weight_hh_l0")
    torch.testing.assert_close(changed.wiring_cost(), plain.wiring_cost())


def test_the_wiring_cost_of_pruned_weights_follows_their_changes() -> None:
    layer = SpatialRecurrent(nn.GRU(3, 4))
    prune.custom_from_mask(layer.layer, "weight_hh_l0", torch.ones(12, 4))
    for _ in range(2):  # without a call of the layer between them
        layer.wiring_cost().backward()
    with torch.no_grad():
        layer.layer.weight_hh_l0_orig.zero_()
    assert layer.wiring_cost() == 0
