"""Plastic neurons follow their equations step by step, neuron by neuron."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import reset_states, unroll
from bionets.layers.plastic import IF, LIF, AdaptiveLIF, ExponentialDynamics, Input, LinearDynamics, TraceLIF
from tests.layers.plastic import plastic_naive as naive

pytestmark = pytest.mark.usefixtures("double_precision")

STEPS, BATCH, SIZE = 40, 3, 4
DT = 0.5


def between(low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(SIZE)


def drawn(kind: str) -> tuple[Any, list[tuple[Any, ...]]]:
    """Dynamics with a value for each neuron, and the same for the naive neurons."""
    alpha = between(0.2, 1.0)
    if kind == "linear":
        decay = between(0.5, 0.95)
        return LinearDynamics(decay, alpha), [("linear", float(d), float(a)) for d, a in zip(decay, alpha, strict=True)]
    tau = between(1.0, 6.0)
    dynamics = ExponentialDynamics(tau, 3 * alpha, DT)
    return dynamics, [("exponential", float(c), 3 * float(a), DT) for c, a in zip(tau, alpha, strict=True)]


@pytest.mark.parametrize("kind", ["linear", "exponential"])
@pytest.mark.parametrize("neuron", [IF, LIF, TraceLIF, AdaptiveLIF])
def test_neurons_follow_their_equations(neuron: type[LIF], kind: str) -> None:
    voltage, naive_voltage = drawn(kind)
    trace, naive_trace = drawn(kind)
    adaptation, naive_adaptation = drawn(kind)
    options = {
        "threshold": between(0.3, 0.8),
        "rest": between(-0.3, 0.1),
        "refractory": torch.tensor([0, 1, 2, 5]),
        "trace": trace,
        "record": ("spikes", "trace", "voltage", "threshold"),
    }
    if neuron is IF:
        layer: LIF = IF(SIZE, scale=torch.tensor([n[2] for n in naive_voltage]), **options)
        naive_voltage = [("linear", 1.0, n[2]) for n in naive_voltage]
    elif neuron is AdaptiveLIF:
        layer = AdaptiveLIF(SIZE, voltage, adaptation, **options)
    else:
        layer = neuron(SIZE, voltage, **options)
    current = 0.8 * torch.rand(STEPS, BATCH, SIZE)
    spikes = torch.stack([layer(step) for step in current])
    assert 0.05 < spikes.double().mean() < 0.9
    assert torch.equal(layer.history["spikes"], spikes)
    for b in range(BATCH):
        for j in range(SIZE):
            one = naive.Neuron(
                naive_voltage[j],
                naive_trace[j],
                float(options["threshold"][j]),
                float(options["rest"][j]),
                int(options["refractory"][j]),
                naive_adaptation[j] if neuron is AdaptiveLIF else None,
            )
            for t in range(STEPS):
                assert one.step(float(current[t, b, j])) == bool(spikes[t, b, j])
                found = [float(layer.history[name][t, b, j]) for name in ("voltage", "trace", "threshold")]
                assert found == pytest.approx([one.v, one.trace, one.theta], abs=1e-9)


def test_a_spike_sets_the_trace_and_resets_the_voltage() -> None:
    layer = LIF(1, LinearDynamics(1.0), reset=-1.0, trace=LinearDynamics(0.5, 2.0), nearest_spike=True)
    layer.record = ("voltage", "trace")
    layer(torch.tensor([1.5, 3.0, 0.0]).reshape(3, 1, 1), whole_sequence=True)
    assert layer.history["voltage"].flatten().tolist() == [-1.0, -1.0, -1.0]
    assert layer.history["trace"].flatten().tolist() == [2.0, 2.0, 1.0]


def test_a_refractory_neuron_does_not_spike_even_above_its_threshold() -> None:
    layer = LIF(1, LinearDynamics(1.0), threshold=1.0, reset=2.0, refractory=2)
    spikes = layer(torch.tensor([1.5, 0.0, 0.0, 0.0, 0.0]).reshape(5, 1, 1), whole_sequence=True)
    assert spikes.flatten().tolist() == [True, False, False, True, False]


def test_homeostatic_adaptation_is_averaged_over_the_batch_and_saved() -> None:
    layer = AdaptiveLIF(2, LinearDynamics(0.0), LinearDynamics(0.9, 0.5), homeostasis=True)
    current = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    layer(current)
    assert layer.adaptation.tolist() == [0.25, 0.0]  # half of the batch fires
    reset_states(layer)
    layer.eval()
    layer(current)
    assert layer.adaptation.tolist() == [0.25, 0.0]  # frozen
    assert layer.state_dict()["adaptation"].tolist() == [0.25, 0.0]
    layer.train()
    layer(current)
    assert layer.adaptation.tolist() == pytest.approx([0.9 * 0.25 + 0.25, 0.0])


def test_adaptation_without_homeostasis_is_a_state_also_in_evaluation() -> None:
    layer = AdaptiveLIF(1, LinearDynamics(0.0), LinearDynamics(0.5, 2.0), record=["threshold"]).eval()
    layer(torch.tensor([2.0, 0.0, 0.0]).reshape(3, 1, 1), whole_sequence=True)
    assert layer.history["threshold"].flatten().tolist() == [3.0, 2.0, 1.5]
    assert "adaptation" not in layer.state_dict()


def test_a_sample_does_not_depend_on_its_batch() -> None:
    current = 0.8 * torch.rand(STEPS, BATCH, SIZE)
    layer = AdaptiveLIF(SIZE, LinearDynamics(0.8), LinearDynamics(0.9, 0.2), refractory=2)
    together = layer(current, whole_sequence=True)
    for b in range(BATCH):
        reset_states(layer)
        assert torch.equal(layer(current[:, b : b + 1], whole_sequence=True)[:, 0], together[:, b])


def test_plastic_neurons_can_be_unrolled_in_a_model() -> None:
    model = nn.Sequential(nn.Linear(3, SIZE), LIF(SIZE, LinearDynamics(0.9)))
    x = torch.randn(STEPS, BATCH, 3)
    spikes = unroll(model, x)
    assert spikes.any() and not spikes.requires_grad
    reset_states(model)
    assert torch.equal(torch.stack([model(step) for step in x]), spikes)


def test_a_sequence_may_have_no_steps() -> None:
    spikes = LIF(SIZE, LinearDynamics(0.9))(torch.zeros(0, 2, SIZE), whole_sequence=True)
    assert spikes.shape == (0, 2, SIZE) and spikes.dtype == torch.bool


def test_reset_states_clears_the_history() -> None:
    layer = LIF(SIZE, LinearDynamics(0.9), record=["spikes", "spikes"])  # once is as good
    layer(torch.rand(5, 2, SIZE), whole_sequence=True)
    layer(torch.rand(2, SIZE))
    assert layer.history["spikes"].shape == (6, 2, SIZE)
    reset_states(layer)
    assert layer.history == {}
    layer(torch.rand(7, SIZE))
    assert layer.history["spikes"].shape == (1, 7, SIZE)


def test_invalid_arguments_and_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"threshold of shape \(3,\) does not fit neurons of shape \(4,\)"):
        LIF(4, LinearDynamics(0.9), threshold=torch.ones(3))
    for values in (math.nan, torch.tensor([1.0, math.nan, 1.0, 1.0])):
        with pytest.raises(ValueError, match="LIF: threshold must be a number, got nan"):
            LIF(4, LinearDynamics(0.9), threshold=values)
    with pytest.raises(ValueError, match="Input: trace_decay must be a number, got nan"):
        Input(4, trace=LinearDynamics(math.nan))
    with pytest.raises(ValueError, match="Input cannot record 'voltage'; choose from spikes"):
        Input(4, record=["voltage"])
    with pytest.raises(ValueError, match="LIF cannot record 'trace'; choose from spikes, voltage, threshold"):
        LIF(4, LinearDynamics(0.9), record=["trace"])
    with pytest.raises(ValueError, match="greater than zero"):
        LIF((4, 0), LinearDynamics(0.9))
    with pytest.raises(TypeError, match="shape must be an integer, got float"):
        LIF(4.0, LinearDynamics(0.9))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"LIF: the dynamics of the voltage must be LinearDynamics or Exp.*, got 0\.9"):
        LIF(4, 0.9)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Input: the dynamics of the trace must be .*, got 0\.9"):
        Input(4, trace=0.9)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"LIF: refractory must be a whole number of steps, got 2\.5"):
        LIF(4, LinearDynamics(0.9), refractory=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="LIF: refractory must not be negative, got -1"):
        LIF(4, LinearDynamics(0.9), refractory=-1)
    with pytest.raises(ValueError, match="a time constant must be above zero"):
        ExponentialDynamics(torch.zeros(4))
    with pytest.raises(ValueError, match="dt must be above zero, got -1"):
        ExponentialDynamics(10.0, dt=-1.0)
    with pytest.raises(ValueError, match=r"expected a current of shape \[B, 4\], got \(2, 1\)"):
        LIF(4, LinearDynamics(0.9))(torch.rand(2, 1))
    with pytest.raises(TypeError, match=r"LIF: a current must be real, got torch\.complex"):
        LIF(4, LinearDynamics(0.9))(torch.full((2, 4), 2j))
    layer = LIF(4, LinearDynamics(0.9))
    layer(torch.rand(2, 4))
    with pytest.raises(ValueError, match="LIF: the kept spikes has shape"):
        layer(torch.rand(3, 4))


def test_a_batch_of_no_samples_keeps_learnt_thresholds() -> None:
    trace = LinearDynamics(0.9)
    neurons = AdaptiveLIF(2, trace, trace, homeostasis=True)
    neurons(torch.zeros(0, 2))
    assert torch.equal(neurons.state_dict()["adaptation"], torch.zeros(2))
