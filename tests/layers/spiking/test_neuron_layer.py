"""Neurons whose class states their parameters in a table."""

import inspect
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from bionets.layers import unroll
from bionets.layers.spiking import ALIF, BRF, EIF, LIB, PLIF, AdEx, SEAdLIF
from bionets.layers.spiking.firing import Firing
from bionets.layers.spiking.leaky_integrator import LeakyIntegrator
from bionets.layers.spiking.neuron_layer import NeuronLayer, ParameterSpec
from bionets.scan import surrogate


def counter_step(x: Tensor, state: Any, params: Any, *, firing: Firing, gain: float) -> tuple[Tensor, Tensor]:
    mem = state.mem + gain * x + getattr(params, "drift", 0.0)
    spike = firing(mem - params.threshold, state.noise)
    return spike, mem - spike * params.threshold


class Counter(NeuronLayer):
    state_names = ("mem",)
    specs = (ParameterSpec("threshold", 1.0, "threshold", rank=0, learn=False), ParameterSpec("drift", None))
    neuron_step = staticmethod(counter_step)
    default_spike_fn = "triangle"
    settings: ClassVar[Mapping[str, Any]] = {"gain": 0.5}


def naive(x: Tensor, gain: float, threshold: float, drift: float) -> Tensor:
    mem, spikes = torch.zeros_like(x[0]), []
    for step in x:
        mem = mem + gain * step + drift
        spikes.append(surrogate.triangle(mem - threshold))
        mem = mem - spikes[-1] * threshold
    return torch.stack(spikes)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({}, (0.5, 1.0, 0.0)), ({"gain": 1.5, "threshold": 2.0, "drift": 0.25}, (1.5, 2.0, 0.25))],
)
def test_a_layer_follows_from_a_table_of_parameters_and_a_step(
    arguments: dict[str, float], expected: tuple[float, float, float]
) -> None:
    x = torch.randn(20, 3, 4, generator=torch.Generator().manual_seed(0)).double()
    layer = Counter(4, **arguments).double()
    torch.testing.assert_close(unroll(layer, x), naive(x, *expected))
    assert ("drift" in dict(layer.named_parameters())) == ("drift" in arguments)
    assert layer.threshold.shape == () and "raw_threshold" in dict(layer.named_buffers())


def test_the_constructor_follows_from_the_table() -> None:
    names = ["num_neurons", "threshold", "dim", "threshold_rank", "drift_rank", "learn_threshold", "learn_drift"]
    found = inspect.signature(Counter).parameters
    assert list(found) == [*names, "drift", "gain", "spike_fn", "quant_fn", "backend"]
    assert (found["threshold_rank"].default, found["learn_threshold"].default, found["gain"].default) == (0, False, 0.5)


@pytest.mark.parametrize("kind", [ALIF, AdEx, BRF, PLIF, SEAdLIF, Counter])
def test_an_unknown_argument_is_refused_with_the_known_ones(kind: type[NeuronLayer]) -> None:
    with pytest.raises(TypeError, match=rf"{kind.__name__}: .*betta.*it takes num_neurons, .*quant_fn, backend"):
        kind(3, betta=0.5)
    with pytest.raises(ValueError, match="unknown backend 'fast'"):
        kind(3, backend="fast")


class Passing(AdEx):
    """A neuron of one's own that passes on the arguments of its base."""

    def __init__(self, num_neurons: int, peak_current: float = 1.0, **others: Any) -> None:
        super().__init__(num_neurons, **others)


@pytest.mark.parametrize("kind", [EIF, AdEx, Passing])
def test_the_arguments_named_in_the_error_are_those_that_the_class_accepts(kind: type[NeuronLayer]) -> None:
    with pytest.raises(TypeError, match="it takes ") as error:
        kind(3, betta=0.5)
    names = str(error.value).partition("it takes ")[2].split(", ")
    taken: dict[str, Any] = {"beta": 0.5, "rho": 0.5, "subthreshold": 0.1, "spike_weight": 0.2, "peak_current": 2.0}
    assert {"num_neurons", "beta", "threshold", "backend"} <= {*names} and len({*names}) == len(names)
    for name, value in taken.items():
        if name in names:
            assert kind(3, **{name: value}).num_neurons == 3
        else:
            with pytest.raises(TypeError):
                kind(3, **{name: value})


def test_a_class_without_kind_or_parameters_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^Mine has no kind: write class Mine\(LeakyIntegrator, kind=Kind"):
        type("Mine", (LeakyIntegrator,), {})
    assert type("Mine", (LIB,), {})(3).num_neurons == 3
    for kind in (LeakyIntegrator, type("Mine", (NeuronLayer,), {})):
        with pytest.raises(TypeError, match=f"^{kind.__name__} has no parameters: declare them as specs"):
            kind(3)


def test_positional_and_keyword_parameters_are_equivalent() -> None:
    by_place, by_name = AdEx(3, 0.8, 0.7, 0.1, 0.2), AdEx(3, beta=0.8, rho=0.7, subthreshold=0.1, spike_weight=0.2)
    for one, other in zip(by_place.values(), by_name.values(), strict=True):
        assert torch.equal(one, other)
    assert AdEx(3, peak=3.0).peak == 3.0


@pytest.mark.parametrize("dt", [0.0, -0.01, math.nan])
def test_oscillators_need_a_positive_step(dt: float) -> None:
    with pytest.raises(ValueError, match=f"BRF: dt must be above 0, got {dt}"):
        BRF(3, dt=dt)


@pytest.mark.parametrize("number", [True, 0, 2.0, "2"])
def test_the_number_of_neurons_is_a_whole_number(number: Any) -> None:
    with pytest.raises(ValueError, match=f"LIB: num_neurons must be a whole number of at least 1, got {number!r}"):
        LIB(number)


def test_oscillators_that_would_diverge_are_refused() -> None:
    with pytest.raises(ValueError, match=r"BRF: dt·\|omega\| must be below 1, got dt=0.1 and an omega of 20"):
        BRF(3, omega=torch.tensor([1.0, -20.0, 3.0]), dt=0.1)
