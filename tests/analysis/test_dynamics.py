"""Fixed points, stability, hysteresis, memory and Lyapunov exponents where the answer is known."""

import math
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from bionets.analysis.dynamics import (
    FixedPoint,
    bifurcation_diagram,
    bistable_share,
    find_fixed_points,
    hysteresis_loop,
    largest_lyapunov_exponent,
    memory_half_life,
    settled,
    state_map,
    visited_states,
)
from bionets.analysis.dynamics_figures import (
    draw_bifurcation,
    draw_bistable_share,
    draw_fixed_points,
    draw_half_lives,
    draw_hysteresis,
)
from bionets.layers import BRC, NBRC, PeepholeLSTM, SpatialRecurrent, StigmergicPerceptron
from bionets.layers.spiking import ALIF, LI, LIB, FullyRecurrent

NO_INPUT = torch.zeros(1, dtype=torch.float64)
ONE = torch.ones(1, dtype=torch.float64)


def one_unit(a: float, c: float = 0.5) -> BRC:
    """A BRC of one unit whose gates are constant: h' = c h + (1 − c) tanh(x + a h)."""
    layer = BRC(1, 1, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.tensor([[1.0], [0.0], [0.0]]))
        layer.weight_hh_l0.zero_()
        layer.bias_l0.copy_(torch.tensor([math.atanh(a - 1), math.log(c / (1 - c))]))
    return layer


def root_of_tanh(a: float) -> float:
    """The positive solution of h = tanh(a h) by bisection."""
    low, high = 1e-6, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if math.tanh(a * middle) > middle else (low, middle)
    return low


def starts(n: int = 21) -> Tensor:
    return torch.linspace(-1, 1, n, dtype=torch.float64).unsqueeze(1)


@pytest.mark.parametrize("a", [1.2, 1.5, 1.9])
def test_a_bistable_unit_has_the_fixed_points_of_its_equation(a: float) -> None:
    points = find_fixed_points(state_map(one_unit(a)), NO_INPUT, starts())
    values = sorted(float(point.state) for point in points)
    assert values == pytest.approx([-root_of_tanh(a), 0.0, root_of_tanh(a)], abs=1e-6)
    for point in points:
        h = float(point.state)
        slope = 0.5 + 0.5 * a * (1 - math.tanh(a * h) ** 2)
        assert point.spectral_radius == pytest.approx(slope, abs=1e-6)
        assert point.stable == (slope < 1)
        assert point.residual < 1e-9


def test_the_pitchfork_lies_at_a_equal_to_one() -> None:
    counts = {a: len(find_fixed_points(state_map(one_unit(a)), NO_INPUT, starts())) for a in (0.5, 0.9, 1.1, 1.5)}
    assert counts == {0.5: 1, 0.9: 1, 1.1: 3, 1.5: 3}


def test_the_default_initialisation_is_at_the_pitchfork_bifurcation() -> None:
    step = state_map(BRC(1, 4, dtype=torch.float64))
    points = find_fixed_points(step, NO_INPUT, torch.zeros(1, 4, dtype=torch.float64))
    assert points[0].spectral_radius == pytest.approx(1.0, abs=1e-9)


def test_a_line_attractor_of_a_gru_is_found() -> None:
    """With z = 1 the first unit keeps any value; with z = 0 and n = 0 the second one forgets at once."""
    gru = nn.GRU(1, 2, dtype=torch.float64)
    with torch.no_grad():
        for parameter in gru.parameters():
            parameter.zero_()
        gru.bias_ih_l0[2:4] = torch.tensor([40.0, -40.0])  # rows r, z, n
    torch.manual_seed(0)
    points = find_fixed_points(state_map(gru), NO_INPUT, torch.rand(12, 2, dtype=torch.float64) * 2 - 1)
    assert len(points) == 12
    for point in points:
        assert abs(point.state[1]) < 1e-6
        assert point.eigenvalues.abs().tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    assert max(float(point.state[0]) for point in points) > 0.5 > -0.5 > min(float(point.state[0]) for point in points)


@pytest.mark.parametrize(
    "layer",
    [
        nn.LSTM(2, 3, 2),
        PeepholeLSTM(2, 3),
        NBRC(2, 3, 2),
        nn.GRU(2, 3, batch_first=True),
        SpatialRecurrent(nn.GRU(2, 3, batch_first=True)),
    ],
)
def test_states_and_jacobians_of_a_state_map_equal_those_of_the_layer(layer: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 4, 2, dtype=torch.float64)
    step = state_map(layer)
    batch_first = getattr(getattr(layer, "layer", layer), "batch_first", False)
    _, expected = layer.double()(x.transpose(0, 1) if batch_first else x)
    expected = (expected,) if isinstance(expected, Tensor) else expected
    flat = torch.cat([state.transpose(0, 1).flatten(1) for state in expected], 1)
    torch.testing.assert_close(visited_states(step, x)[-1], flat)
    s = visited_states(step, x)[2]
    jacobian = step.jacobian(s, x[3])
    nudge = 1e-6 * torch.randn_like(s)
    expected_change = (jacobian @ nudge.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(step(s + nudge, x[3]) - step(s, x[3]), expected_change, rtol=1e-3, atol=1e-10)


class Leaky(nn.Module):
    """A layer of a user's own, whose state is ``[B, H]``."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.decay = nn.Linear(2, 3), nn.Parameter(torch.tensor([0.5, 0.8, 0.9]))

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        states = [x.new_zeros(x.shape[1], 3) if h is None else h]
        for step in self.input(x):
            states.append(self.decay * states[-1] + torch.tanh(step))
        return torch.stack(states[1:]), states[-1]


def test_state_map_accepts_layers_whose_state_has_no_dimension_of_layers() -> None:
    torch.manual_seed(0)
    layer, x = Leaky(), torch.randn(5, 4, 2, dtype=torch.float64)
    step = state_map(layer)
    decay = layer.decay.detach().double().diag()
    torch.testing.assert_close(step.jacobian(torch.randn(4, 3, dtype=torch.float64), x[0]), decay.expand(4, 3, 3))
    torch.testing.assert_close(visited_states(step, x), layer.double()(x)[0].detach())


def test_state_map_accepts_spiking_layers_without_random_spikes() -> None:
    step = state_map(LI(3, beta=0.5))
    (point,) = find_fixed_points(step, torch.ones(3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64))
    assert point.state.tolist() == pytest.approx([2.0, 2.0, 2.0])
    assert point.eigenvalues.abs().tolist() == pytest.approx([0.5] * 3)
    assert state_map(ALIF(2)).run(torch.zeros(1, 1, 2))[1].shape == (1, 4)
    with pytest.raises(ValueError, match="random spikes"):
        state_map(LIB(3))
    with pytest.raises(ValueError, match="bidirectional"):
        state_map(BRC(1, 2, bidirectional=True))


@pytest.mark.parametrize(
    "layer", [FullyRecurrent(ALIF(3), max_delay=4), StigmergicPerceptron(3, 2, stigmergic_weights=True)]
)
def test_state_map_concatenates_states_of_different_sizes(layer: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 4, 3, dtype=torch.float64)
    step = state_map(layer)
    output, last = step.run(x)
    assert last.any()
    assert torch.equal(last, visited_states(step, x)[-1])
    assert torch.equal(last, visited_states(step, x, step.initial_state(x))[-1])
    torch.testing.assert_close(output, layer.double()(x, whole_sequence=True))


@pytest.mark.parametrize("layer", [BRC(2, 3), LI(3)])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (1, 2, 3)])
def test_state_map_refuses_states_of_another_shape(layer: nn.Module, shape: tuple[int, ...]) -> None:
    step = state_map(layer)
    x = torch.zeros(2 if isinstance(layer, BRC) else 3)
    count = step.run(x.view(1, 1, -1))[1].size(1)
    with pytest.raises(ValueError, match=rf"states of this layer must be \[K, {count}\], got"):
        find_fixed_points(step, x, torch.zeros(*shape[:-1], shape[-1] + count))


def test_state_map_refuses_random_spikes_and_projections() -> None:
    with pytest.raises(ValueError, match="random spikes"):
        state_map(FullyRecurrent(LIB(3)))
    with pytest.raises(ValueError, match="proj_size"):
        state_map(nn.LSTM(2, 4, proj_size=3))


def test_only_a_bistable_unit_shows_hysteresis() -> None:
    for a, area_is_large in ((1.5, True), (0.5, False)):
        factors, up, down = hysteresis_loop(state_map(one_unit(a)), ONE, -1, 1, 400)
        gap = (down - up).abs().mean()
        assert (gap > 0.1) == area_is_large
        assert factors[0] == -1
        assert up[-1] > 0 > down[0]


def test_the_bifurcation_diagram_has_three_branches_at_zero_input() -> None:
    diagram = bifurcation_diagram(state_map(one_unit(1.5)), ONE, [-0.5, 0.0, 0.5], unit=0)
    at = {factor: [(value, stable) for f, value, stable in diagram if f == factor] for factor in (-0.5, 0.0, 0.5)}
    assert [len(at[factor]) for factor in (-0.5, 0.0, 0.5)] == [1, 3, 1]
    assert sorted(stable for _, stable in at[0.0]) == [False, True, True]


def test_the_bifurcation_diagram_from_visited_states_equals_that_from_a_grid() -> None:
    step = state_map(one_unit(1.5))
    factors = [-0.5, 0.0, 0.5]
    grid = bifurcation_diagram(step, ONE, factors, unit=0)
    visited = bifurcation_diagram(step, ONE, factors, unit=0, starts=starts(7))
    for (factor, value, stable), (other_factor, other_value, other_stable) in zip(
        sorted(grid), sorted(visited), strict=True
    ):
        assert (factor, stable) == (other_factor, other_stable)
        assert value == pytest.approx(other_value, abs=1e-6)


def test_states_settle_on_the_stable_fixed_point() -> None:
    ends = settled(state_map(one_unit(1.5)), NO_INPUT, torch.tensor([[-0.5], [0.5]]))
    assert ends[:, 0].tolist() == pytest.approx([-root_of_tanh(1.5), root_of_tanh(1.5)], abs=1e-6)


def test_margin_excludes_fixed_points_far_outside_the_starts() -> None:
    """With c = σ(−h) a state of −40 is a fixed point in float64, though the unit never leaves [−1, 1]."""
    layer = one_unit(1.5)
    with torch.no_grad():
        layer.weight_hh_l0[1] = -1.0
    step, near = state_map(layer), torch.tensor([[-40.0], [-0.5], [0.5]], dtype=torch.float64)
    assert min(float(point.state) for point in find_fixed_points(step, NO_INPUT, near)) < -30
    for point in find_fixed_points(step, NO_INPUT, near[1:], margin=0.5):
        assert abs(float(point.state)) <= 1


@pytest.mark.parametrize("inputs", [[0.1, 5.0], [0.1, -5.0], [5.0, 0.1]])
def test_margin_excludes_a_fixed_point_with_one_element_far_outside(inputs: list[float]) -> None:
    step, x = state_map(LI(2, beta=0.5)), torch.tensor(inputs, dtype=torch.float64)
    starts = torch.tensor([[-1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
    (point,) = find_fixed_points(step, x, starts)
    torch.testing.assert_close(point.state, x / (1 - 0.5))
    assert find_fixed_points(step, x, starts, margin=0.1) == []


def test_margin_is_a_share_of_the_range_of_the_starts() -> None:
    step, near = state_map(one_unit(1.5)), torch.tensor([[0.45], [0.5]], dtype=torch.float64)
    (point,) = find_fixed_points(step, NO_INPUT, near)
    assert float(point.state) == pytest.approx(root_of_tanh(1.5))  # 0.36 from the starts, whose range is 0.05
    assert find_fixed_points(step, NO_INPUT, near, margin=7.0) == []
    assert len(find_fixed_points(step, NO_INPUT, near, margin=8.0)) == 1


def test_a_fixed_point_is_stable_if_all_eigenvalues_are_inside_the_unit_circle() -> None:
    for eigenvalues, stable in (([0.6 + 0.79j, 0.1], True), ([0.6 + 0.8j, 0.1], False), ([-1.0, 0.5], False)):
        point = FixedPoint(torch.zeros(2), 0.0, torch.tensor(eigenvalues, dtype=torch.complex128))
        assert point.stable is stable


def test_memory_half_life_of_a_leaky_integrator() -> None:
    beta = torch.tensor([0.5, 0.9, 0.99])
    found = memory_half_life(state_map(LI(3, beta=beta)), torch.zeros(1, 3))
    expected = torch.ceil(math.log(0.5) / beta.double().log() - 1e-6)
    assert (found - expected).abs().max() <= 1
    assert memory_half_life(state_map(LI(1, beta=1.0, learn_beta=False)), torch.zeros(1, 1), horizon=50).isinf().all()


def test_runs_begin_at_the_given_state() -> None:
    """Of a unit that keeps its sign, so that its ramps and its half-life depend on the state at the start."""
    layer, step = one_unit(1.5), state_map(one_unit(1.5))
    x, start = torch.tensor([[0.4], [0.1]], dtype=torch.float64), torch.tensor([-0.8], dtype=torch.float64)
    run = layer.double()(
        torch.tensor([-0.5, 0.0, 0.5, 0.5, 0.0, -0.5]).double().reshape(6, 1, 1), start.reshape(1, 1, 1)
    )
    _, up, down = hysteresis_loop(step, ONE, -0.5, 0.5, 3, start)
    assert torch.cat((up, down.flip(0))).flatten().tolist() == pytest.approx(run[0].flatten().tolist(), abs=1e-12)
    s, halved = visited_states(step, x.unsqueeze(1), start.unsqueeze(0))[-1], 0
    disturbed = s + 1e-3
    while (disturbed - s).abs() > 0.5e-3:
        disturbed, s, halved = step(disturbed, x[-1]), step(s, x[-1]), halved + 1
    assert memory_half_life(step, x, start).tolist() == [halved]
    assert memory_half_life(step, x).tolist() != [halved]


def test_lyapunov_exponents_of_leaky_integrators_and_a_chaotic_network() -> None:
    x = torch.zeros(200, 3, dtype=torch.float64)
    decay = largest_lyapunov_exponent(state_map(LI(3, beta=torch.tensor([0.5, 0.7, 0.9]))), x, discard=100)
    assert decay == pytest.approx(math.log(0.9), abs=1e-6)
    torch.manual_seed(0)
    chaotic = nn.RNN(1, 60, dtype=torch.float64)
    with torch.no_grad():
        for parameter in chaotic.parameters():
            parameter.zero_()
        chaotic.weight_hh_l0.normal_(0, 3 / 60**0.5)  # gain 3: chaotic (Sompolinsky, Crisanti and Sommers 1988)
    start = torch.randn(1, 60, dtype=torch.float64)
    assert largest_lyapunov_exponent(state_map(chaotic), torch.zeros(150, 1), start, discard=50) > 0.1


def test_a_lyapunov_exponent_is_the_growth_of_a_small_difference() -> None:
    step, x = state_map(one_unit(1.5)), torch.linspace(-1, 0.5, 12, dtype=torch.float64).unsqueeze(1)
    starts = torch.tensor([[0.3], [0.3 + 1e-7]], dtype=torch.float64)
    one, other = visited_states(step, x.unsqueeze(1).expand(-1, 2, -1), starts)[-1].flatten().tolist()
    growth = math.log((other - one) / 1e-7) / len(x)
    assert largest_lyapunov_exponent(step, x, starts[0]) == pytest.approx(growth, rel=1e-4)


def test_a_lyapunov_exponent_after_discarded_steps_starts_at_the_state_reached() -> None:
    step, x = state_map(one_unit(1.5)), torch.linspace(-1, 1, 60, dtype=torch.float64).unsqueeze(1)
    (half,) = visited_states(step, x[:30].unsqueeze(1))[-1]
    whole = largest_lyapunov_exponent(step, x, discard=30)  # of one unit, whose growth has one direction alone
    assert largest_lyapunov_exponent(step, x[30:], half) == pytest.approx(whole, abs=1e-12)
    assert largest_lyapunov_exponent(step, x[30:]) != pytest.approx(whole, abs=1e-3)


def test_a_lyapunov_exponent_starts_at_the_initial_state_of_the_layer() -> None:
    torch.manual_seed(0)
    step, x = state_map(StigmergicPerceptron(2, 3)), torch.randn(20, 2, dtype=torch.float64)
    start = step.initial_state(x.unsqueeze(1))
    assert start.any()
    assert largest_lyapunov_exponent(step, x) == largest_lyapunov_exponent(step, x, start)


def test_runs_over_no_steps_are_refused() -> None:
    step, x = state_map(one_unit(1.5)), torch.zeros(0, 1)
    with pytest.raises(ValueError, match=r"x must have at least one step, got the shape \[0, 3, 1\]"):
        visited_states(step, x.unsqueeze(1).expand(0, 3, 1))
    with pytest.raises(ValueError, match=r"x must have at least one step, got the shape \[0, 1\]"):
        memory_half_life(step, x)
    for steps in (0, -1):
        with pytest.raises(ValueError, match=f"steps must be at least 1, got {steps}"):
            hysteresis_loop(step, ONE, -1, 1, steps)


def test_fixed_points_need_an_initial_state() -> None:
    step = state_map(one_unit(1.5))
    for begin in (0, torch.zeros(0, 1)):
        with pytest.raises(ValueError, match=r"starts must have at least one state, got the shape \[0, 1\]"):
            bifurcation_diagram(step, ONE, [0.0], 0, begin)


@pytest.mark.parametrize("begin", [5, torch.zeros(2, 6)])
def test_a_bifurcation_diagram_of_a_unit_that_does_not_exist_is_refused(begin: int | Tensor) -> None:
    step = state_map(NBRC(1, 3, 2))
    for unit in (6, -7):
        with pytest.raises(ValueError, match=f"unit must lie between 0 and 5, got {unit}"):
            bifurcation_diagram(step, ONE, [0.0], unit, begin)


@pytest.mark.parametrize("layer", [nn.Linear(2, 3), nn.Sequential(nn.GRU(2, 3))])
def test_state_map_refuses_layers_without_states(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=f"{type(layer).__name__} takes no states: give a layer like nn.GRU"):
        state_map(layer)


def test_a_lyapunov_exponent_over_no_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="discard must be at least 0 and below the 5 steps of x, got 5"):
        largest_lyapunov_exponent(state_map(one_unit(1.5)), torch.zeros(5, 1), discard=5)


@pytest.mark.parametrize("kind", [BRC, NBRC])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recorded_gates_give_the_output_of_the_layer(kind: type[nn.Module], bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = kind(3, 5, num_layers=2, bidirectional=bidirectional, batch_first=True, dtype=torch.float64)
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    h0 = torch.randn(2 * (1 + bidirectional), 4, 5, dtype=torch.float64)
    output, _, gates = layer(x, h0, return_gates=True)
    torch.testing.assert_close(output, layer(x, h0)[0])
    assert len(gates) == 2 * (1 + bidirectional)
    first = gates[0]
    own, h = [], h0[0]
    candidate = (x @ layer.weight_ih_l0[:5].T).transpose(0, 1)
    for t in range(7):
        h = first.c[t] * h + (1 - first.c[t]) * torch.tanh(candidate[t] + first.a[t] * h)
        own.append(h)
    single = kind(3, 5, dtype=torch.float64)
    single.load_state_dict({name: value for name, value in layer.state_dict().items() if name.endswith("_l0")})
    torch.testing.assert_close(torch.stack(own), single(x.transpose(0, 1), h0[:1])[0])
    with pytest.raises(ValueError, match="padded, batched"):
        layer(x[0], return_gates=True)
    layer.dropout = 1.0  # the input of the second layer is 0
    _, _, gates = layer(x, h0, return_gates=True)
    second = kind(5 * (1 + bidirectional), 5, dtype=torch.float64)
    second.load_state_dict({name[:-1] + "0": value for name, value in layer.state_dict().items() if name[-3:] == "_l1"})
    place = 1 + bidirectional
    _, _, (alone,) = second(torch.zeros(7, 4, second.input_size).double(), h0[place : place + 1], return_gates=True)
    torch.testing.assert_close(gates[place], alone)


def test_the_bistable_initialisation_is_bistable() -> None:
    x = torch.zeros(3, 2, 1)
    for initialisation, share in (("bistable", 1.0), ("paper2020", 0.0)):
        _, _, gates = BRC(1, 6, initialisation=initialisation)(x, return_gates=True)
        assert bistable_share(gates[0].a).tolist() == [share] * 3


def test_the_share_at_a_single_step_is_visible() -> None:
    axes = Figure().add_subplot()
    draw_bistable_share(axes, {"layer 1": torch.tensor([0.5])})
    assert axes.lines[0].get_marker() == "o"


def test_figures_are_drawn(tmp_path: Path) -> None:
    step = state_map(one_unit(1.5))
    figure = Figure(figsize=(10, 6))
    axes = figure.subplots(2, 3).flat
    draw_bistable_share(axes[0], {"layer 1": torch.linspace(0, 1, 10)})
    draw_bifurcation(axes[1], bifurcation_diagram(step, ONE, [-0.5, 0.0, 0.5], 0), "h")
    factors, up, down = hysteresis_loop(step, ONE, -1, 1, 50)
    draw_hysteresis(axes[2], factors, up[:, 0], down[:, 0], "h")
    draw_half_lives(axes[3], torch.tensor([1.0, 5.0, math.inf]), 100)
    visited = visited_states(step, torch.randn(20, 3, 1, dtype=torch.float64)).flatten(0, 1)
    draw_fixed_points(axes[4], visited, find_fixed_points(step, NO_INPUT, starts()))
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
