"""Readouts and losses of spiking networks, beside their definitions in plain numbers."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from bionets.layers.spiking.losses import (
    cross_entropy_each_step,
    first_spike_cross_entropy,
    soft_cross_entropy,
    spike_rate_error,
)
from bionets.layers.spiking.readouts import READOUTS, first_spike_time

SPIKES = torch.tensor([[0, 0, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]]).view(4, 1, 4).double()


def test_each_readout_gives_the_values_of_its_definition() -> None:
    read = {name: readout(SPIKES)[0].tolist() for name, readout in READOUTS.items()}
    assert read == {
        "spike_count": [2, 1, 2, 0],
        "spike_rate": [0.5, 0.25, 0.5, 0],
        "first_spike": [-1, -3, 0, -4],
        "mean_membrane": [0.5, 0.25, 0.5, 0],
        "last_membrane": [0, 1, 0, 0],
        "max_membrane": [1, 1, 1, 0],
    }


@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("shape", [(), (3,), (3, 2)])
def test_readouts_with_lengths_equal_those_of_single_sequences(name: str, shape: tuple[int, ...]) -> None:
    """The values after the end of a sequence have no effect."""
    lengths = torch.tensor([6, 1, 4, 3])
    values = torch.rand(6, 4, *shape, dtype=torch.float64)
    found = READOUTS[name](values if name == "first_spike" else values - 2, lengths)
    for n, length in enumerate(lengths.tolist()):
        own = values[:length, n : n + 1] - (0 if name == "first_spike" else 2)
        torch.testing.assert_close(found[n : n + 1], READOUTS[name](own))


@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("lengths", [None, torch.zeros(2, dtype=torch.int64)])
def test_the_scores_of_a_sequence_without_steps_are_zero(name: str, lengths: torch.Tensor | None) -> None:
    scores = READOUTS[name](torch.randn(0, 2, 3, dtype=torch.float64), lengths)
    torch.testing.assert_close(scores, torch.zeros(2, 3, dtype=torch.float64))


def test_the_first_spike_time_of_probabilities_is_its_expectation() -> None:
    p = torch.tensor([0.3, 0.6, 0.2], dtype=torch.float64, requires_grad=True)
    expected = 0 * 0.3 + 1 * 0.7 * 0.6 + 2 * 0.7 * 0.4 * 0.2 + 3 * 0.7 * 0.4 * 0.8
    assert first_spike_time(p.view(3, 1, 1)).item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda p: first_spike_time(p.view(3, 1, 1)), p)


def test_the_first_spike_time_has_no_gradient_after_the_first_spike() -> None:
    spikes = SPIKES.clone().requires_grad_()
    first_spike_time(spikes).sum().backward()
    assert spikes.grad[:, 0, 0].tolist() == [-1, -1, 0, 0]
    assert (spikes.grad[:, 0, 3] < 0).all()  # a neuron that never spikes is pulled at every step
    assert (spikes.grad[1:, 0, 2] == 0).all()  # it spiked at step 0: the others do not count


def test_soft_cross_entropy_of_probabilities_equals_cross_entropy_of_their_logits() -> None:
    scores, target = torch.randn(5, 4, dtype=torch.float64), torch.rand(5, 4, dtype=torch.float64).softmax(1)
    expected = functional.cross_entropy(scores, target)
    torch.testing.assert_close(soft_cross_entropy(scores.softmax(1), target), expected)


def test_soft_cross_entropy_of_a_silent_neuron_is_finite_with_a_negative_gradient() -> None:
    rates = torch.zeros(1, 2, requires_grad=True)
    loss = soft_cross_entropy(rates, torch.tensor([[1.0, 0.0]]))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-8), rel=1e-4)
    assert rates.grad[0, 0] < 0 and torch.isfinite(rates.grad).all()


@pytest.mark.parametrize("lengths", [None, torch.tensor([3])])
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_spikes_may_be_integers_and_bools(dtype: torch.dtype, lengths: torch.Tensor | None) -> None:
    for name in ("spike_count", "spike_rate", "first_spike", "mean_membrane"):
        found, expected = (READOUTS[name](given, lengths).double() for given in (SPIKES.to(dtype), SPIKES))
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    loss = spike_rate_error(SPIKES.to(dtype), torch.tensor([2]), lengths=lengths)
    assert loss.item() == pytest.approx(spike_rate_error(SPIKES, torch.tensor([2]), lengths=lengths).item())


@pytest.mark.parametrize("loss", [cross_entropy_each_step, first_spike_cross_entropy])
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64])
def test_spikes_of_cross_entropies_may_be_integers_and_bools(loss: Any, dtype: torch.dtype) -> None:
    found = loss(SPIKES.to(dtype), torch.tensor([2]))
    torch.testing.assert_close(found, loss(SPIKES.float(), torch.tensor([2])))


@pytest.mark.parametrize("loss", [cross_entropy_each_step, first_spike_cross_entropy, spike_rate_error])
@pytest.mark.parametrize("target", [torch.tensor([2]), torch.tensor([[2, 1]]), torch.tensor(1)])
def test_losses_refuse_classes_for_another_batch(loss: Any, target: torch.Tensor) -> None:
    """With one class for two samples, the rates of the second sample had the target ``wrong`` for all outputs."""
    with pytest.raises(ValueError, match=r"classes \[B\], got shapes \[4, 2, 4\] and"):
        loss(SPIKES.expand(-1, 2, -1), target)


def test_soft_cross_entropy_refuses_classes() -> None:
    with pytest.raises(ValueError, match="must have one shape"):
        soft_cross_entropy(torch.rand(3, 4), torch.zeros(3))


def test_the_losses_over_time_equal_their_definitions() -> None:
    membrane, target = torch.randn(6, 5, 4), torch.tensor([0, 3, 1, 1, 2])
    each = torch.stack([functional.cross_entropy(step, target) for step in membrane])
    torch.testing.assert_close(cross_entropy_each_step(membrane, target), each.mean())
    smooth = torch.full((5, 4), 0.2 / 4).scatter_(1, target.unsqueeze(1), 0.8 + 0.2 / 4)
    expected = -(smooth * membrane.log_softmax(2)).sum(2).mean()
    torch.testing.assert_close(cross_entropy_each_step(membrane, target, label_smoothing=0.2), expected)
    one = torch.tensor([2])
    rates = torch.tensor([0.5, 0.25, 0.5, 0.0]) - torch.tensor([0.1, 0.1, 0.8, 0.1])
    assert spike_rate_error(SPIKES, one).item() == pytest.approx(rates.square().mean().item())
    times = torch.tensor([[-1.0, -3.0, 0.0, -4.0]], dtype=torch.float64)
    torch.testing.assert_close(first_spike_cross_entropy(SPIKES, one), functional.cross_entropy(times, one))


def test_soft_cross_entropy_of_a_silent_neuron_is_finite_in_half_precision() -> None:
    rates, target = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
    expected = soft_cross_entropy(rates, target)
    torch.testing.assert_close(soft_cross_entropy(rates.half(), target.half()), expected)
