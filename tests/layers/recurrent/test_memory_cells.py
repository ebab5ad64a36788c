"""The memory cells against their equations, written once more as plain loops, and against properties of their own."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.signal import cont2discrete
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bionets import layers
from bionets.layers import LEM, LMU, LRU, SRC, CoRNN, MinGRU, MinLSTM, UnICORNN
from bionets.layers.recurrent.lmu import legendre_matrices

INPUT, HIDDEN, BATCH, STEPS = 3, 4, 2, 6
Parameters = dict[str, Tensor]
States = tuple[Tensor, ...]


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def min_gru(x: Tensor, states: States, p: Parameters) -> tuple[Tensor, States]:
    (h,) = states
    z, candidate = (p["weight_ih"] @ x + p["bias"]).chunk(2)
    h = (1 - sigmoid(z)) * h + sigmoid(z) * candidate
    return h, (h,)


def min_lstm(x: Tensor, states: States, p: Parameters) -> tuple[Tensor, States]:
    (h,) = states
    f, i, candidate = (p["weight_ih"] @ x + p["bias"]).chunk(3)
    f, i = sigmoid(f), sigmoid(i)
    h = f / (f + i) * h + i / (f + i) * candidate
    return h, (h,)


def lru(x: Tensor, states: States, p: Parameters) -> tuple[Tensor, States]:
    s = torch.complex(*states)
    eigenvalue = torch.exp(torch.complex(-p["log_nu"].exp(), p["log_theta"].exp()))
    real, imaginary = (p["weight_ih"] @ x).chunk(2)
    s = eigenvalue * s + p["log_gamma"].exp() * torch.complex(real, imaginary)
    c_real, minus_c_imaginary = p["weight_out"].chunk(2, 1)
    y = (torch.complex(c_real, -minus_c_imaginary) @ s).real + p["weight_skip"] @ x + p["bias"]
    return y, (s.real, s.imag)


def cornn(
    x: Tensor, states: States, p: Parameters, dt: float = 0.042, gamma: float = 2.7, epsilon: float = 4.7
) -> tuple[Tensor, States]:
    y, z = states
    force = torch.tanh(p["weight_hh"] @ y + p["weight_zh"] @ z + p["weight_ih"] @ x + p["bias"])
    z = z + dt * (force - gamma * y - epsilon * z)
    y = y + dt * z
    return y, (y, z)


def unicornn(x: Tensor, states: States, p: Parameters, dt: float = 0.1, alpha: float = 10.0) -> tuple[Tensor, States]:
    y, z = states
    step = dt * sigmoid(p["time_scale"])
    z = z - step * (torch.tanh(p["weight_hh"] * y + p["weight_ih"] @ x + p["bias"]) + alpha * y)
    y = y + step * z
    return y, (y, z)


def lem(x: Tensor, states: States, p: Parameters, dt: float = 1.0) -> tuple[Tensor, States]:
    y, z = states
    v_1, v_2, v_z, v_y = (p["weight_ih"] @ x + p["bias"]).chunk(4)
    w_1, w_2, w_z = p["weight_hh"].chunk(3)
    step_z, step_y = dt * sigmoid(v_1 + w_1 @ y), dt * sigmoid(v_2 + w_2 @ y)
    z = (1 - step_z) * z + step_z * torch.tanh(v_z + w_z @ y)
    y = (1 - step_y) * y + step_y * torch.tanh(v_y + p["weight_zh"] @ z)
    return y, (y, z)


def src(
    x: Tensor,
    states: States,
    p: Parameters,
    alpha: float = 0.9,
    rho: float = 3.0,
    r: float = 2.0,
    r_slow: float = -7.0,
    z_hyperpolarised: float = 0.9,
    z_depolarised: float = 0.0,
) -> tuple[Tensor, States]:
    current, fast, slow = states
    current = alpha * current + p["weight_ih"] @ x
    new_fast = torch.tanh(rho * torch.tanh(current / rho) + r * fast + r_slow * slow + p["excitability"])
    z = z_hyperpolarised + (z_depolarised - z_hyperpolarised) * sigmoid(10 * (fast - 0.5))
    slow = z * slow + (1 - z) * fast
    return new_fast.clamp(min=0), (current, new_fast, slow)


def lmu(x: Tensor, states: States, p: Parameters, theta: float = 100.0) -> tuple[Tensor, States]:
    h, m = states
    a, b = legendre_matrices(HIDDEN, theta)
    u = p["encoder_x"] @ x + p["encoder_h"] @ h + p["encoder_m"] @ m
    m = a @ m + b * u
    h = torch.tanh(p["weight_ih"] @ x + p["weight_hh"] @ h + p["weight_mh"] @ m + p["bias"])
    return h, (h, m)


NAIVE: dict[type[nn.Module], Callable[..., tuple[Tensor, States]]] = {
    MinGRU: min_gru,
    MinLSTM: min_lstm,
    LRU: lru,
    CoRNN: cornn,
    UnICORNN: unicornn,
    LEM: lem,
    SRC: src,
    LMU: lmu,
}
kinds = pytest.mark.parametrize("kind", NAIVE, ids=lambda kind: kind.__name__)
OTHER_CONSTANTS: dict[type[nn.Module], dict[str, float]] = {
    CoRNN: {"dt": 0.3, "gamma": 0.7, "epsilon": 1.2},
    UnICORNN: {"dt": 0.4, "alpha": 2.0},
    LEM: {"dt": 0.6},
    SRC: {"alpha": 0.7, "rho": 2.0, "r": 1.5, "r_slow": -3.0, "z_hyperpolarised": 0.8, "z_depolarised": 0.1},
    LMU: {"theta": 7.0},
}


def make(kind: type[nn.Module], **options: object) -> nn.Module:
    torch.manual_seed(0)
    layer = kind(INPUT, HIDDEN, dtype=torch.float64, **options)
    for name, parameter in layer.named_parameters():
        if name.startswith(("bias", "encoder_m", "excitability")):  # those that start at a constant
            nn.init.normal_(parameter, std=0.5)
    return layer


def as_tuple(states: Tensor | States) -> States:
    return (states,) if isinstance(states, Tensor) else states


def random_states(layer: nn.Module, *shape: int) -> States:
    return tuple(0.5 * torch.randn(*shape, HIDDEN, dtype=torch.float64) for _ in layer.recurrence.states)


def as_given(states: States) -> Tensor | States:
    return states if len(states) > 1 else states[0]


def naive(layer: nn.Module, x: Tensor, states: States, **constants: float) -> tuple[Tensor, States]:
    """x `[T, B, I]` and states `[B, H]` through the equations, one sequence and one step after another."""
    parameters = {name.removesuffix("_l0"): parameter for name, parameter in layer.named_parameters()}
    outputs, last = [], []
    for b in range(x.size(1)):
        state, output = tuple(s[b] for s in states), []
        for x_t in x[:, b]:
            y, state = NAIVE[type(layer)](x_t, state, parameters, **constants)
            output.append(y)
        outputs.append(torch.stack(output))
        last.append(state)
    return torch.stack(outputs, 1), tuple(torch.stack(s) for s in zip(*last, strict=True))


@pytest.mark.parametrize(
    ("kind", "constants"),
    [*((kind, {}) for kind in NAIVE), *OTHER_CONSTANTS.items()],
    ids=lambda each: getattr(each, "__name__", "other constants" if each else "defaults"),
)
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_values_and_gradients_are_those_of_the_equations(
    kind: type[nn.Module], constants: dict[str, float], backend: str
) -> None:
    layer = make(kind, backend=backend, **constants)
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64, requires_grad=True)
    h0 = tuple(s.requires_grad_() for s in random_states(layer, 1, BATCH))
    output, last = layer(x, as_given(h0))
    expected, expected_last = naive(layer, x, tuple(s[0] for s in h0), **constants)
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-10)
    leaves = [x, *h0, *layer.parameters()]
    weights = torch.randn_like(output)
    actual_all = (output * weights).sum() + sum((s * 0.3).sum() for s in as_tuple(last))
    expected_all = (expected * weights).sum() + sum((s * 0.3).sum() for s in expected_last)
    torch.testing.assert_close(
        torch.autograd.grad(actual_all, leaves), torch.autograd.grad(expected_all, leaves), rtol=1e-8, atol=1e-10
    )


@kinds
def test_float32_is_close_to_float64(kind: type[nn.Module]) -> None:
    layer = make(kind)
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64)
    expected, _ = layer(x)
    actual, _ = layer.float()(x.float())
    torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-5)


@kinds
def test_chunks_lengths_layers_and_directions_are_consistent(kind: type[nn.Module]) -> None:
    layer = make(kind, num_layers=2)
    x = torch.randn(STEPS, 3, INPUT, dtype=torch.float64)
    whole, last = layer(x)
    first, state = layer(x[:2])
    second, chunked = layer(x[2:], state)
    torch.testing.assert_close(torch.cat((first, second)), whole)
    torch.testing.assert_close(chunked, last)

    lengths = torch.tensor([6, 4, 1])
    packed, _ = layer(pack_padded_sequence(x, lengths))
    padded, _ = pad_packed_sequence(packed)
    for b, length in enumerate(lengths):
        torch.testing.assert_close(padded[:length, b], layer(x[:length, b : b + 1])[0][:, 0])

    both = make(kind, bidirectional=True)
    assert both(x)[0].shape == (STEPS, 3, 2 * HIDDEN)


@kinds
def test_the_cell_computes_one_step_of_the_layer(kind: type[nn.Module]) -> None:
    layer = make(kind)
    cell = getattr(layers, f"{kind.__name__}Cell")(INPUT, HIDDEN, dtype=torch.float64)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64)
    _, last = layer(x)
    state = None
    for x_t in x:
        state = cell(x_t, state)
    torch.testing.assert_close(as_tuple(state), tuple(s[0] for s in as_tuple(last)))


def test_unknown_constants_are_refused() -> None:
    with pytest.raises(TypeError, match="CoRNN has no argument delta"):
        CoRNN(INPUT, HIDDEN, delta=1.0)
    assert CoRNN(INPUT, HIDDEN, dt=0.1).constants == {"dt": 0.1, "gamma": 2.7, "epsilon": 4.7}


def test_closed_gates_keep_a_state() -> None:
    for kind, rows in ((MinGRU, slice(0, HIDDEN)), (MinLSTM, slice(HIDDEN, 2 * HIDDEN))):
        layer = make(kind)
        with torch.no_grad():
            layer.weight_ih_l0.zero_()
            layer.bias_l0[rows] = -200.0  # z of the minGRU, i of the minLSTM
        h0 = torch.randn(1, BATCH, HIDDEN, dtype=torch.float64)
        _, last = layer(torch.randn(50, BATCH, INPUT, dtype=torch.float64), h0)
        torch.testing.assert_close(last, h0)


@pytest.mark.parametrize(
    ("initialisation", "radii", "largest_phase"),
    [("ring", (0.0, 1.0), 2 * math.pi), ("slow", (0.9, 0.999), math.pi / 10)],
)
def test_the_eigenvalues_of_an_lru_are_uniform_in_a_ring(
    initialisation: str, radii: tuple[float, float], largest_phase: float
) -> None:
    """Orvieto et al. 2023, lemma 3.2, with the scales of equation 7 and Glorot's of the input and output maps."""
    torch.manual_seed(0)
    size = 2000
    layer = LRU(50, size, initialisation=initialisation)
    p = {name.removesuffix("_l0"): parameter.detach() for name, parameter in layer.named_parameters()}
    squared = (-2 * p["log_nu"].exp()).exp()
    share = (squared - radii[0] ** 2) / (radii[1] ** 2 - radii[0] ** 2)  # of the area of the ring
    for uniform in (share, p["log_theta"].exp() / largest_phase):
        assert float(uniform.min()) >= -1e-4 and float(uniform.max()) <= 1 + 1e-4
        for quantile in (0.25, 0.5, 0.75):
            assert float(uniform.quantile(quantile)) == pytest.approx(quantile, abs=0.05)
    torch.testing.assert_close(p["log_gamma"].exp(), (1 - squared).sqrt(), rtol=1e-3, atol=1e-5)
    for name, variance in (("weight_ih", 1 / (2 * 50)), ("weight_out", 1 / size), ("weight_skip", 1 / 50)):
        assert float(p[name].var()) == pytest.approx(variance, rel=0.05)
        assert abs(float(p[name].mean())) < 0.05 * variance**0.5
    assert not p["bias"].any()


def assert_uniform(values: Tensor, low: float, high: float) -> None:
    """Drawn from U(low, high)."""
    span = high - low
    assert low <= float(values.min()) < low + 0.05 * span and high - 0.05 * span < float(values.max()) <= high
    assert float(values.std()) == pytest.approx(span / 12**0.5, rel=0.1)


@pytest.mark.parametrize("kind", [MinGRU, MinLSTM, LEM, CoRNN, UnICORNN, SRC, LMU])
def test_initial_values_have_the_documented_distributions(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    inputs, hidden = 100, 400
    layer = kind(inputs, hidden)
    limits = {"bias": inputs**-0.5}
    if kind is LMU:
        limits = {"encoder_x": (3 / inputs) ** 0.5, "encoder_h": (3 / hidden) ** 0.5}
    for name, parameter in layer.named_parameters():
        values, name = parameter.detach(), name.removesuffix("_l0")
        if name == "excitability":
            assert values.eq(-6).all()
        elif kind is LMU and name in ("encoder_m", "bias"):
            assert not values.any()
        elif kind is LMU and name.startswith("weight"):
            assert float(values.std()) == pytest.approx((2 / sum(values.shape)) ** 0.5, rel=0.05)
            assert values.abs().max() > 3 * values.std()  # normal
        elif kind is UnICORNN and name in ("weight_hh", "time_scale"):
            assert_uniform(values, *((0.0, 1.0) if name == "weight_hh" else (-0.1, 0.1)))
        else:
            limit = limits[name] if values.dim() == 1 else values.size(1) ** -0.5
            assert_uniform(values, -limit, limit)


def test_an_undriven_lru_decays_with_its_eigenvalues() -> None:
    layer = make(LRU, initialisation="slow")
    h0 = (torch.ones(1, 1, HIDDEN, dtype=torch.float64), torch.zeros(1, 1, HIDDEN, dtype=torch.float64))
    _, (real, imaginary) = layer(torch.zeros(30, 1, INPUT, dtype=torch.float64), h0)
    radius = torch.exp(-layer.log_nu_l0.exp())
    assert bool(((radius > 0.9) & (radius < 0.999)).all())
    torch.testing.assert_close(torch.hypot(real, imaginary)[0, 0], radius**30)


def test_an_undriven_unicornn_keeps_its_amplitude() -> None:
    layer = make(UnICORNN)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.bias_l0.zero_()
    h0 = (torch.full((1, 1, HIDDEN), 0.5, dtype=torch.float64), torch.zeros(1, 1, HIDDEN, dtype=torch.float64))
    output, _ = layer(torch.zeros(2000, 1, INPUT, dtype=torch.float64), h0)
    amplitude = output[-500:].abs().amax(0)
    assert bool(((amplitude > 0.4) & (amplitude < 0.6)).all())


def test_an_undriven_cornn_comes_to_rest() -> None:
    layer = make(CoRNN)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    h0 = (torch.ones(1, 1, HIDDEN, dtype=torch.float64), torch.zeros(1, 1, HIDDEN, dtype=torch.float64))
    output, _ = layer(torch.zeros(1000, 1, INPUT, dtype=torch.float64), h0)
    assert output[-1].abs().max() < 1e-4


def test_the_memory_of_an_lmu_reconstructs_past_inputs() -> None:
    """Legendre polynomials, weighted by m, reconstruct u(t − r·θ) (Voelker et al. 2019, equation 3)."""
    order, theta = 8, 50.0
    layer = LMU(1, order, theta=theta, dtype=torch.float64)
    with torch.no_grad():
        layer.encoder_x_l0.fill_(1.0)
        layer.encoder_h_l0.zero_()
    u = torch.sin(2 * math.pi * torch.arange(200, dtype=torch.float64) / 60)
    _, (_, m) = layer(u.view(-1, 1, 1))
    for delay in (0, 10, 25, 40):
        r = delay / theta
        legendre = [1.0, 2 * r - 1]
        for n in range(1, order - 1):
            legendre.append(((2 * n + 1) * (2 * r - 1) * legendre[n] - n * legendre[n - 1]) / (n + 1))
        decoded = (m[0, 0] * torch.tensor(legendre, dtype=torch.float64)).sum()
        assert abs(decoded - u[-1 - delay]) < 0.1


@pytest.mark.parametrize("theta", [100.0, 7.0])
def test_the_matrices_of_an_lmu_are_a_zero_order_hold_of_its_differential_equation(theta: float) -> None:
    """Voelker et al. 2019, equations 1 and 2: θ dm/dt = A m + B u."""
    order = 4
    a = [[(2 * i + 1) * (-1.0 if i < j else (-1.0) ** (i - j + 1)) / theta for j in range(order)] for i in range(order)]
    b = [[(2 * i + 1) * (-1.0) ** i / theta] for i in range(order)]
    system = (np.array(a), np.array(b), np.zeros((1, order)), np.zeros((1, 1)))
    expected_a, expected_b, *_ = cont2discrete(system, 1.0, "zoh")
    found_a, found_b = legendre_matrices(order, theta)
    torch.testing.assert_close(found_a, torch.tensor(expected_a))
    torch.testing.assert_close(found_b, torch.tensor(expected_b)[:, 0])


def test_a_driven_src_fires_separate_spikes_and_a_resting_one_none() -> None:
    layer = SRC(1, 1, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1.0)
    rest, _ = layer(torch.zeros(200, 1, 1, dtype=torch.float64))
    driven, _ = layer(torch.full((200, 1, 1), 0.5, dtype=torch.float64))
    assert rest.abs().max() == 0
    firing = driven[:, 0, 0] > 0
    starts = (firing[1:] & ~firing[:-1]).sum()
    assert starts >= 3
    assert not bool(firing.all())


def test_an_lmu_can_be_exported_before_its_first_call() -> None:
    layer = LMU(2, 5, theta=37.0)
    x = torch.randn(4, 3, 2)
    exported = torch.export.export(layer, (x,))
    torch.testing.assert_close(exported.module()(x)[0], LMU.forward(layer, x)[0])
    assert LMU(2, 5, theta=37.0)(x)[0].isfinite().all()


@pytest.mark.parametrize("cell", ["SRCCell", "LRUCell", "CoRNNCell"])
def test_the_repr_of_a_cell_is_that_of_its_layer(cell: str) -> None:
    layer = getattr(layers, cell.removesuffix("Cell"))(3, 4)
    assert repr(getattr(layers, cell)(3, 4)) == repr(layer).replace("(", "Cell(", 1)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(LMU, "theta", math.inf), (LEM, "dt", math.inf), (CoRNN, "gamma", math.nan), (SRC, "r_slow", -math.inf)],
)
def test_constants_must_be_finite(kind: type[nn.Module], name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__}: {name} must be finite, got {value}"):
        kind(INPUT, HIDDEN, **{name: value})


@pytest.mark.parametrize(("kind", "name"), [(LMU, "theta"), (LEM, "dt"), (CoRNN, "dt"), (UnICORNN, "dt"), (SRC, "rho")])
def test_constants_that_divide_or_scale_time_must_be_positive(kind: type[nn.Module], name: str) -> None:
    for value in (0, -1.0, math.nan):
        with pytest.raises(ValueError, match=f"{kind.__name__}: {name} must be above 0"):
            kind(INPUT, HIDDEN, **{name: value})
    for wrong in ("1", None, [1.0]):
        with pytest.raises(ValueError, match=f"{kind.__name__}: {name} must be a number"):
            kind(INPUT, HIDDEN, **{name: wrong})
