"""Fluctuation-driven initialisation: the membranes of the network fluctuate by the requested amount."""

import pytest
import torch
from torch import Tensor, nn

from bionets.layers.spiking import (
    ALIF,
    LI,
    LIB,
    LIEMA,
    LIT,
    PLIF,
    SLI,
    SLIEMA,
    SRLITS,
    AdLIF,
    FullyRecurrent,
    SpikingLayer,
    fluctuation_driven_,
    membrane_gain,
)

STEPS = 400


@pytest.mark.parametrize("layer", [LI(3, 0.9), SLI(3, 0.7, 0.6), LIEMA(3, 0.8), SLIEMA(3, 0.8, 0.3)])
def test_the_gain_is_the_energy_of_the_impulse_response(layer: SpikingLayer) -> None:
    impulse = torch.zeros(STEPS, 1, 3)
    impulse[0] = 1
    membrane, _ = layer.over_time(impulse)
    torch.testing.assert_close(membrane_gain(layer).expand(3), membrane[:, 0].square().sum(0).detach())


@pytest.mark.parametrize("make", [LIB, PLIF, ALIF, SRLITS])
def test_firing_neurons_have_the_gain_of_their_membrane(make: type[SpikingLayer]) -> None:
    layer = make(1)
    impulse = torch.zeros(STEPS, 1, 1)
    impulse[0] = 1e-3
    silent = make(1, spike_fn="arctan")  # 1e-3 makes no spike
    states: list[Tensor] = []
    carried = None
    for x in impulse:
        _, carried = silent.over_time(x.unsqueeze(0), carried)
        states.append(carried[silent.state_names.index("mem")])
    energy = torch.stack(states).square().sum() * 1e6
    torch.testing.assert_close(membrane_gain(layer).reshape(()), energy.detach(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_membrane_fluctuates_by_the_threshold_over_xi(recurrent: bool) -> None:
    torch.manual_seed(0)
    threshold = torch.linspace(0.5, 2.0, 200)
    layer = LIB(200, 0.8, threshold, spike_fn="arctan")
    network = nn.Sequential(nn.Linear(1000, 200), FullyRecurrent(layer) if recurrent else layer)
    fluctuation_driven_(network, rate=0.05, xi=3.0, share=0.5)
    assert (network[0].bias == 0).all()
    spikes = (torch.rand(STEPS, 4, 1000) < 0.05).float()
    drive = network[0](spikes)
    if recurrent:
        drive = drive + (torch.rand(STEPS, 4, 200) < 0.05).float() @ network[1].weight.T
    integrator = LI(200, 0.8)
    membrane, _ = integrator.over_time(drive)
    centred = membrane[50:] - membrane[50:].mean((0, 1))
    ratio = centred.std((0, 1)) / (threshold / 3)
    assert ratio.mean().item() == pytest.approx(1, abs=0.1)


def test_the_input_rate_scales_the_weights_of_the_first_layer_only() -> None:
    torch.manual_seed(0)
    few, many = (nn.Sequential(nn.Linear(400, 50), LIB(50), nn.Linear(50, 2), LI(2)) for _ in range(2))
    torch.manual_seed(1)
    fluctuation_driven_(few, rate=0.1)
    torch.manual_seed(1)
    fluctuation_driven_(many, rate=0.1, input_rate=0.4)
    torch.testing.assert_close(few[0].weight, 2 * many[0].weight)
    torch.testing.assert_close(few[2].weight, many[2].weight)


def test_the_linear_layer_has_its_share_of_the_variance_of_recurrent_neurons() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(400, 300), FullyRecurrent(LIB(300)))
    fluctuation_driven_(network, rate=0.05, input_rate=0.2, share=0.7)
    of_inputs, of_neurons = (0.2 * network[0].weight.var() * 400).item(), (0.05 * network[1].weight.var() * 300).item()
    assert of_inputs / (of_inputs + of_neurons) == pytest.approx(0.7, abs=0.01)


def test_the_weights_are_drawn_for_the_next_neurons_and_their_positive_threshold() -> None:
    weights = []
    for neurons in ([LIB(3, 0.9, 2.0)], [LIT(3, 0.9, 2.0, 0.5)], [LIB(3, 0.9, 2.0), LIB(3, 0.8, 1.0)]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 3), *neurons)
        fluctuation_driven_(network)
        weights.append(network[0].weight)
    torch.testing.assert_close(weights[1], weights[0])
    torch.testing.assert_close(weights[2], weights[0])


def test_unsupported_neurons_and_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="AdLIF"):
        fluctuation_driven_(nn.Sequential(nn.Linear(2, 3), AdLIF(3)))
    with pytest.raises(ValueError, match="does not decay"):
        fluctuation_driven_(nn.Sequential(nn.Linear(2, 3), LIB(3, 1.0, learn_beta=False)))
    with pytest.raises(ValueError, match="above 0"):
        fluctuation_driven_(nn.Sequential(nn.Linear(2, 3), LIB(3)), rate=0)


def test_layers_in_nested_sequences_are_drawn() -> None:
    """They kept the weights of PyTorch."""
    weights = []
    for nested in (False, True):
        torch.manual_seed(0)
        parts = [nn.Linear(5, 6), FullyRecurrent(LIB(6)), nn.Linear(6, 4), nn.Dropout(), LIB(4)]
        network = (
            nn.Sequential(nn.Sequential(*parts[:2]), nn.Sequential(*parts[2:])) if nested else nn.Sequential(*parts)
        )
        torch.manual_seed(1)
        fluctuation_driven_(network)
        weights.append([parts[0].weight, parts[1].weight, parts[2].weight])
    for found, expected in zip(*weights, strict=True):
        assert torch.equal(found, expected)


def test_a_network_without_linear_layers_before_neurons_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no torch\.nn\.Linear followed by spiking neurons"):
        fluctuation_driven_(nn.Sequential(nn.Conv2d(1, 2, 3), LIB(2, dim=-3), nn.Flatten(), nn.Linear(8, 2)))
