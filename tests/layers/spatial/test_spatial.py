"""Spatial layers give the outputs of the plain layers, and the costs equal their definitions."""

import math
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bionets.layers import (
    DistanceDelays,
    SpatialConv1d,
    SpatialConv2d,
    SpatialConv3d,
    SpatialLinear,
    SpatialRecurrent,
    proximity_cost,
    spatial_cost,
    spatial_layers,
    transport_cost,
    wiring_cost,
)
from bionets.layers.spatial import spatial_costs
from bionets.layers.spatial.spatial_costs import mean_costs

sizes, seeds = st.integers(1, 9), st.integers(0, 1000)


def places(neurons: int, dim: int = 2) -> Tensor:
    return torch.randn(neurons, dim, dtype=torch.float64, requires_grad=True)


def distance(p: Tensor, q: Tensor) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(p.tolist(), q.tolist(), strict=True)) + 1e-8)


def naive_proximity(positions: Tensor) -> float:
    return sum(math.exp(-distance(p, q)) for p in positions for q in positions) / len(positions) ** 2


def naive_transport(positions: Tensor, owners: list[Tensor], weight: Tensor, power: int) -> float:
    """``owners``: for every column of the weight, flattened, the position of the neuron that it comes from."""
    flat = weight.flatten(1).tolist()
    terms = [distance(p, q) * abs(flat[i][j]) ** power for i, p in enumerate(positions) for j, q in enumerate(owners)]
    return sum(terms) / len(terms)


@pytest.fixture(params=[2, 30_000])
def pairs_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in many blocks, once in one."""
    monkeypatch.setattr(spatial_costs, "PAIRS_AT_ONCE", request.param)


def test_a_spatial_layer_gives_the_output_of_the_plain_layer() -> None:
    linear, conv = SpatialLinear(5, 3, bias=False, dim=3), SpatialConv2d(2, 4, 3, stride=2, padding=1)
    assert linear.positions.shape == (3, 3) and conv.positions.shape == (4, 2) and linear.bias is None
    x, image = torch.randn(7, 5), torch.randn(7, 2, 8, 8)
    assert torch.equal(linear(x), nn.functional.linear(x, linear.weight))
    expected = nn.functional.conv2d(image, conv.weight, conv.bias, stride=2, padding=1)
    assert torch.equal(conv(image), expected)
    assert "dim=3" in repr(linear) and {"weight", "bias", "positions"} == conv.state_dict().keys()


def test_positions_start_at_a_standard_normal_distribution() -> None:
    torch.manual_seed(0)
    for layer in (
        SpatialLinear(2, 2000),
        SpatialConv2d(1, 2000, 1),
        SpatialRecurrent(nn.RNN(1, 1000, num_layers=2), learn_positions=True),
        DistanceDelays(1000, 2),
    ):
        positions = layer.positions.detach()  # type: ignore[union-attr]
        assert positions.mean().item() == pytest.approx(0, abs=0.06)
        assert positions.std().item() == pytest.approx(1, abs=0.04)
        assert positions.abs().max() > 3


@pytest.mark.parametrize("arguments", [(0, 3), (3, 0), (3, 3, True, 0)])
def test_sizes_below_one_are_refused(arguments: tuple) -> None:
    with pytest.raises(ValueError, match="greater than zero"):
        SpatialLinear(*arguments)


@given(sizes, st.integers(1, 4), seeds)
@settings(max_examples=20)
def test_proximity_equals_its_definition(neurons: int, dim: int, seed: int) -> None:
    torch.manual_seed(seed)
    positions = places(neurons, dim)
    assert abs(proximity_cost(positions).item() - naive_proximity(positions)) < 1e-12


@given(sizes, sizes, st.integers(1, 3), st.sampled_from(["l1", "l2"]), seeds)
@settings(max_examples=20)
def test_transport_equals_its_definition_for_linear_flattened_and_convolutional_weights(
    out: int, channels: int, side: int, norm: str, seed: int
) -> None:
    torch.manual_seed(seed)
    positions, previous = places(out), places(channels)
    kernel = torch.randn(out, channels, side, side, dtype=torch.float64)
    owners = [q for q in previous for _ in range(side * side)]
    expected = naive_transport(positions, owners, kernel, {"l1": 1, "l2": 2}[norm])
    assert abs(transport_cost(positions, previous, kernel, norm).item() - expected) < 1e-12
    assert abs(transport_cost(positions, previous, kernel.flatten(1), norm).item() - expected) < 1e-12


@pytest.mark.usefixtures("pairs_at_once")
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_the_gradients_of_the_costs_pass_gradcheck(norm: str) -> None:
    torch.manual_seed(0)
    positions, previous = places(5), places(3)
    weight = torch.randn(5, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(proximity_cost, positions)
    assert torch.autograd.gradcheck(lambda *each: transport_cost(*each, norm), (positions, previous, weight))


@pytest.mark.usefixtures("pairs_at_once")
def test_costs_of_neurons_at_one_position_have_finite_gradients() -> None:
    positions, weight = torch.ones(4, 2, requires_grad=True), torch.ones(4, 4, requires_grad=True)
    cost = proximity_cost(positions)
    transport = transport_cost(positions, positions, weight)
    torch.testing.assert_close(cost, torch.tensor(math.exp(-1e-4)))
    torch.testing.assert_close(transport, torch.tensor(1e-4))
    (cost + transport).backward()
    assert positions.grad is not None and positions.grad.eq(0).all()
    assert weight.grad is not None and weight.grad.isfinite().all()


def network() -> nn.Sequential:
    layers = [SpatialConv2d(1, 3, 3), nn.ReLU(), SpatialConv2d(3, 4, 3), nn.Flatten(), SpatialLinear(4 * 16, 5)]
    return nn.Sequential(*layers, nn.ReLU(), SpatialLinear(5, 2)).double()


def test_the_cost_of_a_model_is_the_mean_over_its_layers() -> None:
    torch.manual_seed(0)
    model = network()
    a, b, c, d = spatial_layers(model)
    proximity = [naive_proximity(layer.positions) for layer in (a, b, c, d)]
    transport = [
        naive_transport(b.positions, [q for q in a.positions for _ in range(9)], b.weight, 2),
        naive_transport(c.positions, [q for q in b.positions for _ in range(16)], c.weight, 2),
        naive_transport(d.positions, list(c.positions), d.weight, 2),
    ]
    expected = 3 * sum(proximity) / 4 + 5 * sum(transport) / 3
    assert abs(spatial_cost(model, 3, 5).item() - expected) < 1e-12
    some = mean_costs(model, where=[0, 2])
    assert abs(some.proximity.item() - (proximity[0] + proximity[2]) / 2) < 1e-12
    assert abs(some.transport.item() - transport[1]) < 1e-12
    assert mean_costs(model, where=[0]).transport == 0
    assert mean_costs(model, where=[]) == (0, 0)


def test_minimising_the_costs_separates_unconnected_neurons_and_shortens_connections() -> None:
    torch.manual_seed(0)
    first, second = SpatialLinear(4, 2), SpatialLinear(2, 2)
    with torch.no_grad():
        second.weight.copy_(torch.eye(2))
    model = nn.Sequential(first, second)
    optimizer = torch.optim.SGD([first.positions, second.positions], lr=1.0)
    for _ in range(200):
        optimizer.zero_grad()
        spatial_cost(model, 1.0, 1.0).backward()
        optimizer.step()
    between = torch.cdist(second.positions, first.positions)
    assert between.diagonal().max() < 0.5 < 2 < between.flip(1).diagonal().min()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_costs(network(), where=[4]), "layer 4.*0 to 3"),
        (lambda: mean_costs(network(), where=[-1]), "layer -1"),
        (lambda: mean_costs(network(), where=[1, 1]), "twice"),
        (lambda: mean_costs(nn.Linear(2, 2)), "no spatial layers"),
        (lambda: mean_costs(nn.Sequential(SpatialLinear(2, 3), SpatialLinear(4, 2))), "does not follow"),
        (lambda: transport_cost(places(2), places(3), torch.ones(2, 3), "l3"), "norm=l3"),
        (lambda: transport_cost(places(2), places(3), torch.ones(3, 3)), "do not fit"),
        (lambda: transport_cost(places(2), places(3, 1), torch.ones(2, 3)), "one dim"),
        (lambda: transport_cost(places(2), places(3), torch.ones(2, 3), groups=0), "0 groups"),
        (lambda: transport_cost(places(2), places(0), torch.ones(2, 0)), "not empty"),
        (lambda: proximity_cost(torch.ones(3)), "one dim"),
        (lambda: proximity_cost(torch.ones(0, 2)), "not empty"),
        (lambda: proximity_cost(torch.ones(2, 0)), "not empty"),
        (lambda: wiring_cost(torch.ones(0, 0), torch.ones(0, 2)), "not empty"),
    ],
)
def test_invalid_arguments_are_refused(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.slow
def test_a_large_pair_of_layers_needs_little_memory() -> None:
    positions, previous = torch.randn(4096, 2, requires_grad=True), torch.randn(4096, 2, requires_grad=True)
    weight = torch.randn(4096, 4096, requires_grad=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (proximity_cost(positions) + proximity_cost(previous) + transport_cost(positions, previous, weight)).backward()
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert kilobytes < 200_000  # of which the gradient of the weight takes 67,000


def test_the_layers_of_the_documentation_run() -> None:
    blocks = (Path(__file__).parents[3] / "docs" / "spatial.md").read_text().split("```python\n")[1:]
    names: dict[str, Any] = {}
    exec(blocks[0].split("```")[0], names)
    assert names["loss"].isfinite()
    assert all(parameter.grad is not None for parameter in names["network"].parameters())


@pytest.mark.parametrize(
    ("kind", "plain", "sides"),
    [(SpatialConv1d, nn.Conv1d, (9,)), (SpatialConv2d, nn.Conv2d, (9, 8)), (SpatialConv3d, nn.Conv3d, (9, 8, 7))],
)
def test_convolutions_of_every_dimension_accept_the_options_of_torch(
    kind: Any, plain: Any, sides: tuple[int, ...]
) -> None:
    options = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}
    layer, same = kind(4, 6, 3, dim=3, **options), plain(4, 6, 3, **options)
    same.load_state_dict({name: value for name, value in layer.state_dict().items() if name != "positions"})
    x = torch.randn(2, 4, *sides)
    assert layer.positions.shape == (6, 3) and torch.equal(layer(x), same(x))


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.usefixtures("pairs_at_once")
def test_the_transport_cost_of_grouped_convolutions_equals_its_definition(groups: int, power: int) -> None:
    layer = SpatialConv1d(4, 8, 3, groups=groups).double()
    previous, norm = places(4), "l1" if power == 1 else "l2"
    cost = transport_cost(layer.positions, previous, layer.weight, norm, groups)  # type: ignore[arg-type]
    terms = []
    for i, weights in enumerate(layer.weight.tolist()):
        first = i // (8 // groups) * (4 // groups)  # of the channels that this one hears
        for j, kernel in enumerate(weights):
            length = distance(layer.positions[i], previous[first + j])
            terms += [length * abs(weight) ** power for weight in kernel]
    assert float(cost.detach()) == pytest.approx(sum(terms) / len(terms))
    assert torch.autograd.gradcheck(
        lambda p, q, w: transport_cost(p, q, w, norm, groups),  # type: ignore[arg-type]
        (layer.positions, previous, layer.weight),
    )


def test_models_with_groups_have_costs_and_groups_that_do_not_divide_are_refused() -> None:
    model = nn.Sequential(
        SpatialConv2d(1, 4, 3), SpatialConv2d(4, 6, 3, groups=2), nn.Flatten(), SpatialLinear(6 * 16, 5)
    )
    spatial_cost(model, 1.0, 1.0).backward()
    assert all(layer.positions.grad is not None for layer in spatial_layers(model))
    with pytest.raises(ValueError, match="3 groups do not divide"):
        transport_cost(places(6), places(4), torch.randn(6, 1, 3).double(), groups=3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_costs_in_half_precision_are_close_to_those_in_float64(dtype: torch.dtype) -> None:
    """The 1e-8 under the square root is 0 in half precision, and a matrix exponential overflows there."""
    torch.manual_seed(0)
    positions, previous = torch.randn(30, 2).to(dtype).requires_grad_(), torch.randn(20, 2).to(dtype)
    weight = torch.randn(30, 20).to(dtype)
    recurrent = torch.randn(30, 30).to(dtype)
    costs: dict[str, Callable[..., Tensor]] = {
        "proximity": lambda kind: proximity_cost(positions.to(kind)),
        "transport": lambda kind: transport_cost(positions.to(kind), previous.to(kind), weight.to(kind)),
        "wiring": lambda kind: wiring_cost(recurrent.to(kind), positions.to(kind)),
    }
    for cost in costs.values():
        found, expected = cost(dtype), cost(torch.float64)
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=0)
        (gradient,) = torch.autograd.grad(found, positions)
        (wanted,) = torch.autograd.grad(expected, positions)
        torch.testing.assert_close(gradient, wanted, rtol=0.02, atol=1e-3)
