"""AdLIF, SE-adLIF, BRF, EIF, AdEx and Izhikevich neurons: naive loops, and what each kind of neuron is known for."""

import inspect
import math
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bionets.layers import reset_states, unroll
from bionets.layers.spiking import ALIF, BRF, EIF, LIB, PLIF, AdEx, AdLIF, Izhikevich, SEAdLIF, SpikingLayer
from bionets.layers.spiking.firing import SpikeFn, firing_of
from bionets.scan import surrogate

T, B, N = 60, 2, 3


def hard(v: Tensor) -> Tensor:
    return (v > 0).to(v)


Result = tuple[Tensor, tuple[Tensor, ...]]  # the spikes, and the last states


def adlif(layer: AdLIF, x: Tensor) -> Result:
    a, b = layer.subthreshold, layer.spike_weight
    u, w, s, out = torch.zeros_like(x[0]), torch.zeros_like(x[0]), torch.zeros_like(x[0]), []
    for x_t in x:
        old_u, old_s = u, s
        u = layer.alpha * u + (1 - layer.alpha) * (x_t - w)
        s = hard(u - layer.threshold)
        u = torch.where(s > 0, 0.0, u)
        seen_u, seen_s = (u, s) if isinstance(layer, SEAdLIF) else (old_u, old_s)
        w = layer.beta * w + (1 - layer.beta) * (a * seen_u + b * seen_s)
        out.append(s)
    return torch.stack(out), (u, w) if isinstance(layer, SEAdLIF) else (u, w, s)


def brf(layer: BRF, x: Tensor) -> Result:
    z, q, out = torch.zeros_like(x[0]) * 1j, torch.zeros_like(x[0]), []
    p = (-1 + torch.sqrt(1 - (0.01 * layer.omega) ** 2)) / 0.01
    for x_t in x:
        b = p - layer.damping.abs() - q
        z = z + 0.01 * ((b + 1j * layer.omega) * z + x_t)
        s = hard(z.real - layer.threshold - q)
        q = layer.gamma * q + s
        out.append(s)
    return torch.stack(out), (z.real, z.imag, q)


def exponential(layer: EIF, x: Tensor) -> Result:
    v, w, out = torch.zeros_like(x[0]), torch.zeros_like(x[0]), []
    for x_t in x:
        growth = layer.sharpness * torch.exp(((v - layer.threshold) / layer.sharpness).clamp(max=10))
        u = v + (1 - layer.beta) * (-v + growth - w + x_t)
        s = hard(u - layer.peak)
        if isinstance(layer, AdEx):
            w = layer.rho * w + (1 - layer.rho) * layer.subthreshold * v + layer.spike_weight * s
        v = torch.where(s > 0, layer.reset, u)
        out.append(s)
    return torch.stack(out), (v, w) if isinstance(layer, AdEx) else (v,)


def izhikevich(layer: Izhikevich, x: Tensor) -> Result:
    v = torch.full_like(x[0], -65.0)
    u, out = layer.b * v, []
    for x_t in x:
        for _ in range(2):
            v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + x_t)
        u = u + layer.a * (layer.b * v - u)
        s = hard(v - 30)
        u = u + s * layer.d
        v = torch.where(s > 0, layer.c, v)
        out.append(s)
    return torch.stack(out), (v + 65, u + 65 * layer.b)


CASES: dict[str, tuple[type[SpikingLayer], Callable[..., Result], float]] = {
    "AdLIF": (AdLIF, adlif, 2.0),
    "SEAdLIF": (SEAdLIF, adlif, 2.0),
    "BRF": (BRF, brf, 40.0),
    "EIF": (EIF, exponential, 2.0),
    "AdEx": (AdEx, exponential, 2.0),
    "Izhikevich": (Izhikevich, izhikevich, 10.0),
}
cases = pytest.mark.parametrize(("kind", "naive", "drive"), CASES.values(), ids=CASES)
ADLIF = {"alpha": 0.8, "beta": 0.95, "subthreshold": 0.5, "spike_weight": 3.0, "threshold": 0.7}
EXPONENTIAL = {"beta": 0.8, "threshold": 0.8, "sharpness": 0.3, "peak": 1.5, "reset": -0.4}
OTHER_VALUES: dict[type[SpikingLayer], dict[str, float]] = {
    AdLIF: ADLIF,
    SEAdLIF: ADLIF,
    BRF: {"omega": 8.0, "damping": -0.5, "gamma": 0.8, "threshold": 0.6},
    EIF: EXPONENTIAL,
    AdEx: {**EXPONENTIAL, "rho": 0.95, "subthreshold": 0.4, "spike_weight": 0.3},
    Izhikevich: {"a": 0.1, "b": 0.25, "c": -55.0, "d": 2.0},
}


@cases
@pytest.mark.parametrize("defaults", [True, False])
def test_spikes_and_states_are_those_of_the_equations(
    kind: type[SpikingLayer], naive: Callable, drive: float, defaults: bool
) -> None:
    torch.manual_seed(0)
    layer = kind(N, **({} if defaults else OTHER_VALUES[kind])).double()
    x = drive * (1 + torch.rand(T, B, N, dtype=torch.float64))
    expected, last = naive(layer, x)
    assert 0 < expected.mean() < 1
    spikes, states = layer.over_time(x)
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(states, last)
    stepwise = torch.stack([layer(x_t) for x_t in x])
    assert torch.equal(stepwise, expected)
    reset_states(layer)
    assert torch.equal(unroll(layer, x), expected)


@cases
def test_gradients_are_those_of_the_reference(kind: type[SpikingLayer], naive: Callable, drive: float) -> None:
    torch.manual_seed(0)
    x = drive * (1 + torch.rand(T, B, N, dtype=torch.float64))
    gradients = {}
    for backend in ("auto", "reference"):
        layer = kind(N, backend=backend, **{"spike_fn": "sigmoid4x", "quant_fn": "identity"}).double()
        given = x.clone().requires_grad_()
        y, _ = layer.over_time(given)
        weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        gradients[backend] = torch.autograd.grad((y * weight).sum(), [given, *layer.parameters()])
    torch.testing.assert_close(gradients["auto"], gradients["reference"], rtol=1e-7, atol=1e-9)


INTEGRATORS = [name for name in CASES if name != "BRF"]  # a resonator answers to a frequency, not to a current


@pytest.mark.parametrize("name", INTEGRATORS)
def test_the_rate_grows_with_the_current(name: str) -> None:
    kind, _, drive = CASES[name]
    layer = kind(1)
    rates = [layer.over_time(torch.full((1000, 1, 1), drive * factor))[0].mean() for factor in (0.0, 1.0, 2.0, 4.0)]
    assert rates[0] == 0
    assert rates == sorted(rates)
    assert rates[-1] > rates[1] > 0


def intervals(spikes: Tensor) -> list[int]:
    times = spikes.flatten().nonzero().flatten()
    return (times[1:] - times[:-1]).tolist()


def test_adaptation_lengthens_the_intervals() -> None:
    for layer in (AdLIF(1), SEAdLIF(1), AdEx(1)):
        gaps = intervals(layer.over_time(torch.full((600, 1, 1), 3.0))[0])
        assert gaps[-1] > gaps[0]
    gaps = intervals(EIF(1).over_time(torch.full((600, 1, 1), 3.0))[0])
    assert len(set(gaps[1:])) == 1


@pytest.mark.parametrize("kind", [EIF, AdEx])
def test_the_exponent_of_the_upstroke_is_at_most_10(kind: type[EIF]) -> None:
    layer = kind(1, peak=1e6).double()
    states = [torch.zeros(1, 1, dtype=torch.float64) for _ in layer.state_names]
    states[0] += 5.0  # (5 − 1) / 0.2 is 20
    _, (mem, *_) = layer.over_time(torch.zeros(1, 1, 1, dtype=torch.float64), tuple(states))
    assert mem.item() == pytest.approx(5 + 0.1 * (-5 + 0.2 * math.exp(10)), rel=1e-5)


def test_a_resonator_prefers_its_own_frequency() -> None:
    """The response of a BRF with ω to a sine of angular frequency ω is larger than to others."""
    dt, omega = 0.01, 10.0
    time = dt * torch.arange(1000)
    response = {}
    for factor in (0.5, 1.0, 2.0):
        layer = BRF(1, omega=omega, threshold=1e3)
        y = torch.stack(
            [layer.over_time(torch.sin(factor * omega * time[:n]).view(-1, 1, 1))[1][0] for n in range(800, 1000, 5)]
        )
        response[factor] = y.abs().max()
    assert response[1.0] > 2 * max(response[0.5], response[2.0])


def test_an_undamped_resonator_neither_grows_nor_decays() -> None:
    layer = BRF(1, omega=8.0, damping=0.0, threshold=1e3).double()
    start = (torch.ones(1, 1, dtype=torch.float64), *(torch.zeros(1, 1, dtype=torch.float64),) * 2)
    _, (real, imaginary, _) = layer.over_time(torch.zeros(5000, 1, 1, dtype=torch.float64), start)
    assert math.isclose(math.hypot(real.item(), imaginary.item()), 1.0, rel_tol=1e-9)


def test_a_resonator_that_would_diverge_is_refused() -> None:
    with pytest.raises(ValueError, match="must be below 1"):
        BRF(2, omega=100.0)


def test_chattering_cells_burst_and_regular_ones_do_not() -> None:
    x = torch.full((1000, 1, 1), 10.0)
    regular = intervals(Izhikevich(1).over_time(x)[0])[5:]
    chattering = intervals(Izhikevich(1, c=-50.0, d=2.0).over_time(x)[0])[5:]
    assert max(regular) <= 2 * min(regular)
    assert max(chattering) > 4 * min(chattering)


def test_parameters_are_drawn_for_each_neuron() -> None:
    torch.manual_seed(0)
    layer = LIB(1000, beta={"uniform": [0.6, 0.96]}, threshold={"normal": [1.0, 0.05]})
    assert 0.6 <= layer.beta.min() < 0.62
    assert 0.94 < layer.beta.max() <= 0.96
    assert abs(layer.threshold.mean() - 1.0) < 0.01
    with pytest.raises(ValueError, match="beta must be a number, a tensor"):
        LIB(4, beta={"gamma": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("kind", "learned", "spike_fn"),
    [
        (PLIF, {"raw_beta"}, surrogate.arctan),
        (ALIF, {"raw_beta", "raw_rho", "strength", "raw_threshold"}, surrogate.triangle),
        (AdLIF, {"raw_alpha", "raw_beta", "subthreshold", "spike_weight"}, surrogate.fast_sigmoid),
        (EIF, {"raw_beta", "raw_threshold"}, surrogate.arctan),
        (AdEx, {"raw_beta", "raw_rho", "subthreshold", "spike_weight", "raw_threshold"}, surrogate.arctan),
        (BRF, {"omega", "damping"}, surrogate.multi_gaussian),
        (Izhikevich, set(), surrogate.arctan),
    ],
)
def test_defaults_are_those_of_the_documentation(
    kind: type[SpikingLayer], learned: set[str], spike_fn: SpikeFn
) -> None:
    text = (kind.__doc__ or "").replace("−", "-")
    stated = {name: float(v) for name, v in re.findall(r"^ +(\w+): .*by default (-?\d+(?:\.\d+)?)", text, re.MULTILINE)}
    if kind is Izhikevich:
        stated = dict(zip("abcd", (0.02, 0.2, -65.0, 8.0), strict=True))
    parameters = inspect.signature(kind).parameters
    assert stated and {name: parameters[name].default for name in stated} == stated
    layer = kind(1)
    assert {name for name, _ in layer.named_parameters()} == learned
    firing = firing_of(layer)
    assert firing is not None and firing.spike_fn is spike_fn
