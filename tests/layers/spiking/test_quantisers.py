"""Quantisers with a step size give graded spikes, on every backend."""

from typing import Any

import pytest
import torch

from bionets.layers import unroll
from bionets.layers.spiking import LIB
from bionets.layers.spiking.firing import Firing
from bionets.models import SpikingRecurrentModel
from bionets.scan.surrogate import straight_bernoulli, straight_round
from bionets.tasks import TaskSpec


@pytest.mark.parametrize("step", [0.25, 1.0])
def test_straight_round_rounds_to_multiples_with_unit_gradient(step: float) -> None:
    p = torch.linspace(-1, 1, 101, dtype=torch.float64, requires_grad=True)
    y = straight_round(p, step_size=step)
    torch.testing.assert_close(y / step, torch.round(p / step))
    assert bool(((y - p).abs() <= step / 2 + 1e-12).all())
    y.sum().backward()
    assert torch.equal(p.grad, torch.ones_like(p))  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [0.25, 1.0])
def test_straight_bernoulli_draws_multiples_with_the_right_mean(step: float) -> None:
    p = torch.linspace(0, 1, 11, dtype=torch.float64)
    noise = (torch.arange(10_000, dtype=torch.float64) / 10_000).unsqueeze(1)
    y = straight_bernoulli(p, noise, step_size=step)
    assert bool(((y / step) == (y / step).round()).all()) and bool(((y - p).abs() < step + 1e-12).all())
    torch.testing.assert_close(y.mean(0), p, atol=1e-3, rtol=0)


@pytest.mark.parametrize("quant_fn", [{"round": 0.25}, {"bernoulli": 0.125}])
def test_compiled_and_reference_agree(quant_fn: dict[str, float]) -> None:
    x = torch.randn(9, 4, 5)
    results = []
    for backend in ("reference", "auto"):
        torch.manual_seed(0)
        layer = LIB(5, quant_fn=quant_fn, backend=backend)
        leaf = x.clone().requires_grad_()
        y = unroll(layer, leaf)
        y.square().sum().backward()
        results.append((y.detach(), leaf.grad))
    torch.testing.assert_close(*results)
    spikes = results[0][0]
    (step,) = quant_fn.values()
    assert torch.equal(spikes / step, (spikes / step).round()) and len(spikes.unique()) > 2


def test_a_step_size_is_accepted_in_layer_arguments() -> None:
    spec = TaskSpec("sequence_to_value", input_size=2, output_size=1)
    arguments = {"spike_fn": "sigmoid4x", "quant_fn": {"round": 0.25}}
    model = SpikingRecurrentModel(spec, hidden_size=4, layer_arguments=arguments)
    assert model(torch.randn(5, 3, 2)).shape == (3, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"round": 0.0},
        {"round": "0.5"},
        {"round": float("inf")},
        {"identity": 0.5},
        {},
        {"round": 0.5, "bernoulli": 0.5},
    ],
)
def test_an_invalid_step_size_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="quant_fn must name one quantiser and a step size above 0"):
        Firing.of("sigmoid4x", wrong)


def test_a_quantiser_may_be_a_function_of_torch() -> None:
    x = torch.rand(6, 2, 4) * 2
    assert torch.equal(unroll(LIB(4, quant_fn=torch.round), x), unroll(LIB(4, quant_fn="round"), x))


def test_a_quantiser_of_other_arguments_is_refused() -> None:
    with pytest.raises(ValueError, match="quant_fn must be a function of p, or of p and noise, got one of 3 arguments"):
        Firing.of("sigmoid4x", lambda p, noise, step: p)
