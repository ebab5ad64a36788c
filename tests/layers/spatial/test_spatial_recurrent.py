"""The wiring cost equals its definition, and a spatial recurrent layer gives the output of its layer."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bionets.layers import BRC, LMU, NBRC, PeepholeLSTM, SpatialRecurrent, proximity_cost, wiring_cost
from bionets.layers.spatial.spatial_costs import communicability
from bionets.layers.spatial.spatial_recurrent import grid_positions


def naive_communicability(weight: Tensor) -> Tensor:
    """The sum of all paths of every length k, over k!."""
    W, n = weight.abs(), len(weight)
    strength = [sum(W[i][j] for i in range(n)) for j in range(n)]
    A = torch.stack([torch.stack([W[i][j] / (strength[i] * strength[j]) ** 0.5 for j in range(n)]) for i in range(n)])
    power, total = torch.eye(n, dtype=weight.dtype), torch.zeros_like(weight)
    for k in range(1, 60):
        total = total + power
        power = power @ A / k
    return total - torch.diag(torch.diag(total))


def naive_wiring(weight: Tensor, positions: Tensor) -> float:
    C, total = naive_communicability(weight), 0.0
    for i in range(len(weight)):
        for j in range(len(weight)):
            length = math.sqrt(math.dist(positions[i].tolist(), positions[j].tolist()) ** 2 + 1e-8)
            total += abs(weight[i][j].item()) * length * C[i][j].item()
    return total


@given(st.integers(1, 7), st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=25)
def test_the_wiring_cost_equals_its_definition(units: int, dim: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(units, units, dtype=torch.float64, generator=random)
    positions = torch.randn(units, dim, dtype=torch.float64, generator=random)
    torch.testing.assert_close(communicability(weight), naive_communicability(weight))
    assert wiring_cost(weight, positions).item() == pytest.approx(naive_wiring(weight, positions), rel=1e-6, abs=1e-9)


def test_the_wiring_cost_uses_the_mean_strength_over_gates() -> None:
    weight, positions = torch.randn(12, 4, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    mean = weight.abs().view(3, 4, 4).mean(0)
    torch.testing.assert_close(wiring_cost(weight, positions), wiring_cost(mean, positions))


def test_the_gradient_of_the_wiring_cost_passes_gradcheck() -> None:
    weight = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    positions = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(wiring_cost, (weight, positions))


def test_units_without_connections_cost_nothing_and_have_a_finite_gradient() -> None:
    weight = torch.zeros(4, 4, requires_grad=True)
    cost = wiring_cost(weight, grid_positions(4))
    cost.backward()
    assert cost == 0 and weight.grad is not None and bool(weight.grad.isfinite().all())


def test_positions_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="5 positions do not fit"):
        wiring_cost(torch.randn(4, 4), torch.randn(5, 2))


@given(st.integers(1, 130), st.integers(1, 4))
@settings(max_examples=40)
def test_a_grid_has_a_position_of_its_own_for_each_unit(units: int, dim: int) -> None:
    places = {tuple(place) for place in grid_positions(units, dim).tolist()}
    assert len(places) == units and all(value == int(value) >= 0 for place in places for value in place)
    side = max(value for place in places for value in place) + 1
    assert side <= math.ceil(units ** (1 / dim) + 1e-9)


def test_the_grid_of_100_units_is_5_by_5_by_4() -> None:
    assert (grid_positions(100).amax(0) + 1).tolist() == [5, 5, 4]
    for side, dim in ((5, 5), (6, 5), (7, 5), (3, 4), (1, 3)):  # the floating-point root of 6⁵ is above 6
        assert (grid_positions(side**dim, dim).amax(0) + 1).tolist() == [side] * dim


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.RNN(3, 6),
        lambda: nn.LSTM(3, 6, num_layers=2),
        lambda: nn.GRU(3, 6, bidirectional=True),
        lambda: NBRC(3, 6, num_layers=2),
        lambda: PeepholeLSTM(3, 6),
        lambda: LMU(3, 6),  # its memory has no positions
    ],
)
@pytest.mark.parametrize("learn", [False, True])
def test_a_spatial_layer_gives_the_output_of_its_layer_and_the_mean_cost_over_layers(
    layer: object, learn: bool
) -> None:
    plain = layer()  # type: ignore[operator]
    spatial = SpatialRecurrent(plain, dim=2, learn_positions=learn)
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(spatial(x), plain(x))
    states = plain(x)[1]
    states = states[0] if isinstance(states, tuple) else states
    assert spatial.positions.shape == (len(states), 6, 2)
    suffixes = [f"_l{k}{way}" for k in range(plain.num_layers) for way in ("", "_reverse")]
    matrices = [
        torch.cat(
            [getattr(plain, name + suffix) for name in ("weight_hh", "weight_ch") if hasattr(plain, name + suffix)]
        )
        for suffix in suffixes
        if hasattr(plain, "weight_hh" + suffix)
    ]
    costs = [wiring_cost(*pair) for pair in zip(matrices, spatial.positions, strict=True)]
    torch.testing.assert_close(spatial.wiring_cost(), torch.stack(costs).mean())
    close = torch.stack([proximity_cost(positions) for positions in spatial.positions]).mean()
    torch.testing.assert_close(spatial.proximity_cost(), close)
    assert ("positions" in dict(spatial.named_parameters())) == learn and "positions" in spatial.state_dict()


def test_the_mean_connection_length_ignores_self_connections() -> None:
    rnn = nn.RNN(1, 3)
    spatial = SpatialRecurrent(rnn, dim=1)  # at 0, 1 and 2
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(torch.tensor([[9.0, 1.0, -1.0], [0.0, 9.0, 0.0], [0.0, 0.0, 9.0]]))
    assert spatial.mean_connection_length().item() == pytest.approx(1.5)


def test_the_mean_connection_length_is_a_mean_over_layers() -> None:
    rnn = nn.RNN(1, 3, num_layers=2)
    spatial = SpatialRecurrent(rnn, dim=1)  # at 0, 1 and 2
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(torch.tensor([[0.0, 5.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
        rnn.weight_hh_l1.copy_(torch.tensor([[0.0, 0.0, 0.1], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert spatial.mean_connection_length().item() == pytest.approx((1 + 2) / 2)


def test_a_layer_whose_units_are_not_connected_is_refused() -> None:
    with pytest.raises(ValueError, match="BRC has no recurrent weight matrix"):
        SpatialRecurrent(BRC(3, 6))


def test_projections_and_dimensions_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="LSTM with proj_size has recurrent weights that are not between its units"):
        SpatialRecurrent(nn.LSTM(3, 6, proj_size=2))
    for learn_positions in (False, True):
        with pytest.raises(ValueError, match="dim must be greater than zero, got 0"):
            SpatialRecurrent(nn.RNN(3, 6), dim=0, learn_positions=learn_positions)
