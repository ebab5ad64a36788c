"""Encoders: the relation of spikes to values, and reproducible random spikes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bionets.layers.spiking.encoders import ENCODERS, delta, direct, latency, rate


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_direct_gives_the_values_at_every_step_without_a_copy() -> None:
    x = torch.rand(3, 1, 4, 4, requires_grad=True)
    y = direct(x, 6)
    assert y.shape == (6, 3, 1, 4, 4) and y.data_ptr() == x.data_ptr()
    assert all(torch.equal(step, x) for step in y)
    y.sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 6))


def test_rate_spikes_with_the_given_probabilities_and_depends_on_the_seed() -> None:
    x = torch.tensor([[-1.0, 0.0, 0.2, 0.5, 0.9, 1.0, 3.0]])
    spikes = rate(x, 4000, generator(0))
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(spikes.mean(0), x.clamp(0, 1), atol=0.03, rtol=0)
    assert torch.equal(spikes, rate(x, 4000, generator(0)))
    assert not torch.equal(spikes, rate(x, 4000, generator(1)))


def test_rate_is_independent_from_step_to_step() -> None:
    spikes = rate(torch.full((50,), 0.5), 1000, generator(0)) - 0.5
    assert abs(float((spikes[1:] * spikes[:-1]).mean())) < 0.01


@given(steps=st.integers(1, 20), values=st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_latency_spikes_once_and_sooner_for_larger_numbers(steps: int, values: list[float]) -> None:
    x = torch.tensor(sorted(values), dtype=torch.float64)
    for decay in (None, 0.8):
        spikes = latency(x, steps, threshold=0.1, decay=decay)
        assert torch.equal(spikes.sum(0), (x > 0.1).double())
        times = spikes.argmax(0)[x > 0.1]
        assert (times[1:] <= times[:-1]).all()


def test_latency_without_decay_is_linear_from_the_first_step_to_the_last() -> None:
    x = torch.tensor([1.0, 0.75, 0.5, 0.25, 1e-6])
    assert latency(x, 5, threshold=1e-7).argmax(0).tolist() == [0, 1, 2, 3, 4]
    assert latency(torch.tensor([1.0, 0.8, 0.6, 0.4, 0.21]), 5, threshold=0.2).argmax(0).tolist() == [0, 1, 2, 3, 4]
    assert latency(torch.tensor([2.0]), 5)[0] == 1


def test_latency_with_decay_is_when_a_leaky_membrane_reaches_the_threshold() -> None:
    decay, threshold = 0.9, 0.3
    for x in (0.35, 0.5, 0.7, 1.0):
        membrane, steps = 0.0, 0
        while membrane < threshold:
            membrane, steps = decay * membrane + (1 - decay) * x, steps + 1
        at = latency(torch.tensor([x]), 100, threshold, decay).argmax().item()
        assert at == round(math.log(1 - threshold / x) / math.log(decay)) and abs(at - steps) <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_latency_with_a_decay_near_1_is_exact(dtype: torch.dtype) -> None:
    decay, threshold = 0.9999, 0.05
    x = torch.linspace(0.3, 1, 500, dtype=dtype)
    delays = [math.log(1 - threshold / value) / math.log(decay) for value in x.tolist()]
    for time, delay in zip(latency(x, 2000, threshold, decay).argmax(0).tolist(), delays, strict=True):
        assert abs(time - delay) <= 0.501  # halves may be rounded up or down


@given(st.lists(st.floats(-0.25, 0.25, allow_subnormal=False), min_size=1, max_size=30))
def test_delta_spikes_add_up_to_the_signal(changes: list[float]) -> None:
    x = torch.tensor(changes, dtype=torch.float64).cumsum(0).view(-1, 1, 1)
    spikes = delta(x, 0.25)
    assert set(spikes.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert ((x - 0.25 * spikes.cumsum(0)).abs() <= 0.25 + 1e-9).all()


def test_delta_follows_a_change_of_exactly_the_threshold_up_and_down() -> None:
    x = torch.tensor([0.5, 0.0, -0.5, -0.75]).view(-1, 1, 1)
    assert delta(x, 0.5).flatten().tolist() == [1, -1, -1, 0]


def test_delta_is_silent_once_it_has_reached_a_constant_signal() -> None:
    assert delta(torch.full((9, 2, 3), 0.4), 0.2).flatten(1).sum(1).tolist() == [6, 6, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("name", sorted(set(ENCODERS) - {"delta"}))
def test_zero_steps_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="steps must be at least 1"):
        ENCODERS[name](torch.rand(3), 0)


def test_invalid_decays_and_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="decay must be above 0 and below 1"):
        latency(torch.rand(2), 4, decay=1.0)
    with pytest.raises(ValueError, match="threshold must be above 0 and below 1"):
        latency(torch.rand(2), 4, threshold=0.0)
    with pytest.raises(ValueError, match="threshold must be above 0"):
        delta(torch.rand(2, 3), 0.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rate_and_latency_are_accurate_in_half_precision(dtype: torch.dtype) -> None:
    rare = torch.full((20_000,), 2.0**-10, dtype=dtype)
    assert float(rate(rare, 100, generator(0)).float().mean()) == pytest.approx(2.0**-10, rel=0.1)
    x = torch.linspace(0.02, 1, 300, dtype=dtype)
    for decay in (None, 0.99):
        spikes = latency(x, 3000, decay=decay)
        assert spikes.dtype == dtype and torch.equal(spikes.sum(0), torch.ones_like(x))


def test_delta_of_complex_numbers_is_refused() -> None:
    with pytest.raises(TypeError, match="x must be real"):
        delta(torch.ones(3, 1, 1, dtype=torch.complex64))


def test_delta_of_integers_equals_delta_of_the_same_floats() -> None:
    x = torch.tensor([0, 3, 3, 1, 0]).view(-1, 1, 1)
    expected = delta(x.float(), 0.5)
    assert expected.flatten().tolist() == [0, 1, 1, 0, -1]
    for dtype in (torch.int64, torch.uint8):
        assert torch.equal(delta(x.to(dtype), 0.5), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_delta_of_half_precision_has_the_same_threshold(dtype: torch.dtype) -> None:
    x = torch.full((3000, 1, 1), 200.0, dtype=dtype)
    spikes = delta(x, 0.1)
    assert spikes.dtype == dtype and torch.equal(spikes.float(), delta(x.float(), 0.1))


@pytest.mark.parametrize("name", sorted(set(ENCODERS) - {"delta"}))
def test_steps_that_are_not_whole_numbers_are_refused(name: str) -> None:
    """Of 2.5 steps, `latency` made three, with the delays of two and a half."""
    with pytest.raises(ValueError, match=r"steps must be a whole number, got 2\.5"):
        ENCODERS[name](torch.rand(3), 2.5)
