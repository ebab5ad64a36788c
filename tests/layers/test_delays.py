"""Delays of neurons and of synapses: against loops over time, in pieces, annealed and rounded."""

import copy
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bionets.layers import (
    Delay,
    DelayedLinear,
    Delays,
    DistanceDelays,
    StatefulModule,
    anneal_delays,
    load_states,
    reset_states,
    round_delays,
    save_states,
    unroll,
)
from bionets.layers.spiking import LIB, PLIF, FullyRecurrent

STEPS, BATCH, SIZE, LONGEST = 9, 3, 5, 4


def recurrent(**options: Any) -> FullyRecurrent:
    return FullyRecurrent(PLIF(SIZE), LONGEST, **options)


LAYERS: dict[str, Any] = {
    "Delay": lambda: Delay(SIZE, LONGEST),
    "gaussian": lambda: Delay(SIZE, LONGEST, sigma=1.5, interpolation="gaussian"),
    "DelayedLinear": lambda: DelayedLinear(SIZE, 2, LONGEST, sigma=1.0),
    "FullyRecurrent": recurrent,
    "synaptic": lambda: recurrent(synaptic=True, sigma=1.0),
    "distance": lambda: recurrent(delays=DistanceDelays(SIZE, LONGEST, velocity=0.7, sigma=0.5)),
}


def layer_of(name: str) -> StatefulModule:
    torch.manual_seed(0)
    layer: StatefulModule = LAYERS[name]().double()
    return layer


@pytest.fixture
def x() -> Tensor:
    return 2 * torch.randn(STEPS, BATCH, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def naive(layer: StatefulModule, x: Tensor) -> Tensor:
    """Sums over lags, step by step."""
    ys: list[Tensor] = []
    for t in range(len(x)):
        if isinstance(layer, Delay):
            ys.append(sum((w * x[t - d] for d, w in enumerate(layer.delays()) if d <= t), torch.zeros_like(x[0])))
        elif isinstance(layer, DelayedLinear):
            heard = (x[t - d] @ (layer.weight * w).T for d, w in enumerate(layer.delays()) if d <= t)
            ys.append(sum(heard, layer.bias))
        else:
            assert isinstance(layer, FullyRecurrent) and layer.delays is not None
            lags = enumerate(layer.delays(), 1)
            heard = (ys[t - d] @ (layer.weight * w).T for d, w in lags if d <= t)
            ys.append(layer.layer(x[t] + sum(heard, torch.zeros_like(x[t]))))
    return torch.stack(ys)


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients_equal_those_of_a_loop_over_time(name: str, x: Tensor) -> None:
    layer = layer_of(name)
    found = []
    for y in (layer.over_time(x)[0], naive(layer, x)):
        loss = (y * torch.arange(y.numel(), dtype=y.dtype).view(y.shape).sin()).sum()
        found.append([y, *torch.autograd.grad(loss, list(layer.parameters()))])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_made_on_the_meta_device_takes_the_values_of_another(name: str, x: Tensor) -> None:
    layer = layer_of(name)
    with torch.device("meta"):
        other = layer_of(name)
    assert type(layer).__name__ in repr(other)
    other.to_empty(device="cpu").load_state_dict(layer.state_dict())
    torch.testing.assert_close(unroll(other, x), unroll(layer, x))


@pytest.mark.parametrize("name", LAYERS)
def test_pieces_and_single_steps_equal_one_pass(name: str, x: Tensor) -> None:
    layer = layer_of(name)
    whole = unroll(layer, x)
    for bounds in ((0, 2, 3, STEPS), range(STEPS + 1)):
        reset_states(layer)
        pieces = [unroll(layer, x[i:j]) for i, j in pairwise(bounds)]
        torch.testing.assert_close(torch.cat(pieces), whole)
    reset_states(layer)
    torch.testing.assert_close(torch.stack([layer(step) for step in x]), whole)


@pytest.mark.parametrize("name", LAYERS)
def test_batches_with_lengths_equal_single_sequences(name: str, x: Tensor) -> None:
    layer, lengths = layer_of(name), torch.tensor([6, 1, 9])
    y, states = layer.over_time(x, lengths=lengths)
    for b, end in enumerate(lengths.tolist()):
        alone, last = layer.over_time(x[:end, b : b + 1])
        torch.testing.assert_close(y[:end, b : b + 1], alone)
        assert not y[end:, b].any()
        for one, other in zip(states, last, strict=True):
            torch.testing.assert_close(one[b : b + 1], other)


@pytest.mark.parametrize("name", ["Delay", "DelayedLinear"])
@pytest.mark.parametrize("lengths", [None, [6, 4, 9]])
def test_pieces_between_resets_equal_separate_sequences(name: str, lengths: list[int] | None, x: Tensor) -> None:
    layer, reset = layer_of(name), torch.zeros(STEPS, BATCH, dtype=torch.bool)
    reset[[3, 5], 0] = reset[[0, 7], 1] = True
    given = None if lengths is None else torch.tensor(lengths)
    y, (past,) = layer.over_time(x, lengths=given, reset=reset)
    for b, starts in enumerate(([0, 3, 5], [0], [0])):
        end = STEPS if lengths is None else lengths[b]
        starts = [*starts, 7] if b == 1 and end > 7 else starts
        found = [layer.over_time(x[i:j, b : b + 1]) for i, j in zip(starts, [*starts[1:], end], strict=True)]
        torch.testing.assert_close(y[:end, b : b + 1], torch.cat([each for each, _ in found]))
        torch.testing.assert_close(past[b : b + 1], found[-1][1][0])


def test_an_integer_delay_shifts_the_input_by_that_number_of_steps() -> None:
    x = torch.randn(STEPS, 2, 3)
    y = Delay(3, 4, delays=torch.tensor([0.0, 2.0, 4.0])).over_time(x)[0]
    for i, d in enumerate((0, 2, 4)):
        torch.testing.assert_close(y[d:, :, i], x[: STEPS - d, :, i])
        assert not y[:d, :, i].any()


def test_delays_have_the_default_dtype(double_precision: None) -> None:
    for delays in (None, 2, 2.0, torch.full((3,), 2.0, dtype=torch.float32)):
        assert {each.dtype for each in Delay(3, 4, delays=delays).state_dict().values()} == {torch.float64}


def test_synaptic_delays_equal_to_those_of_the_neurons_give_the_same_output(x: Tensor) -> None:
    neurons, synapses = recurrent().double(), recurrent(synaptic=True).double()
    assert neurons.delays is not None and synapses.delays is not None
    with torch.no_grad():
        synapses.weight.copy_(neurons.weight)
        synapses.delays.delays.copy_(neurons.delays.delays.expand(SIZE, SIZE))
    torch.testing.assert_close(neurons.over_time(x)[0], synapses.over_time(x)[0])


@given(
    st.lists(st.floats(0, 6), min_size=1, max_size=4),
    st.floats(0, 5),
    st.sampled_from(["linear", "gaussian"]),
)
def test_lag_weights_add_up_to_one_and_are_rounded_to_the_nearest_lag(
    values: list[float], sigma: float, interpolation: str
) -> None:
    delays = Delays((len(values),), 0, 6, delays=torch.tensor(values), sigma=sigma, interpolation=interpolation)
    weights = delays()
    torch.testing.assert_close(weights.sum(0), torch.ones(len(values)))
    assert bool((weights >= 0).all())
    if sigma == 0 and interpolation == "linear":  # its mean is the delay
        mean = (torch.arange(7).unsqueeze(1) * weights).sum(0)
        torch.testing.assert_close(mean, torch.tensor(values), rtol=1e-4, atol=1e-4)
    round_delays(delays)
    nearest = torch.tensor(values).round().long()
    torch.testing.assert_close(delays(), nn.functional.one_hot(nearest, 7).T.float())


@pytest.mark.parametrize("interpolation", ["linear", "gaussian"])
def test_lag_weights_follow_their_formula(interpolation: str) -> None:
    p, sigma = [1.0, 2.3, 6.0], 1.7
    weights = Delays((3,), 1, 6, delays=torch.tensor(p), sigma=sigma, interpolation=interpolation)()
    for i, delay in enumerate(p):
        if interpolation == "linear":
            heights = [max(0.0, 1 - abs(d - delay) / (1 + sigma)) for d in range(1, 7)]
        else:
            heights = [math.exp(-((d - delay) ** 2) / (2 * sigma**2)) for d in range(1, 7)]
        expected = torch.tensor([height / sum(heights) for height in heights])
        torch.testing.assert_close(weights[:, i], expected)


@pytest.mark.parametrize("interpolation", ["linear", "gaussian"])
def test_lag_weights_pass_gradcheck(interpolation: str) -> None:
    delays = Delays((4,), 1, 6, delays=torch.tensor([1.2, 2.6, 3.1, 5.7]), sigma=1.3, interpolation=interpolation)
    delays = delays.double()
    assert torch.autograd.gradcheck(
        lambda values: torch.func.functional_call(delays, {"delays": values}, ()), delays.delays
    )


def test_a_delay_beyond_its_range_is_learned_back_into_it() -> None:
    layer = Delay(1, 4, sigma=1.0)
    with torch.no_grad():
        layer.delays.delays.fill_(5.5)
    x, wanted = torch.randn(40, 8, 1), Delay(1, 4, delays=2.0)
    optimizer = torch.optim.Adam(layer.delays.parameters(), 0.1)
    for step in range(200):
        anneal_delays(layer, min(1.0, step / 100))
        optimizer.zero_grad()
        (layer.over_time(x)[0] - wanted.over_time(x)[0]).square().mean().backward()
        optimizer.step()
    assert abs(layer.delays.delays.item() - 2) < 0.2
    round_delays(layer)
    torch.testing.assert_close(layer.over_time(x)[0], wanted.over_time(x)[0])


def test_recurrent_delays_are_learned() -> None:
    """The target is a pulse that returns after a fixed number of steps."""
    torch.manual_seed(0)
    wanted = FullyRecurrent(LIB(1, spike_fn="sigmoid4x", quant_fn="identity"), 8, delays=5.0)
    layer = FullyRecurrent(LIB(1, spike_fn="sigmoid4x", quant_fn="identity"), 8, delays=2.0, sigma=4.0)
    with torch.no_grad():
        for each in (wanted, layer):
            each.weight.fill_(2.0)
    x = 3 * (torch.rand(40, 16, 1) < 0.1).float()
    target = wanted.over_time(x)[0].detach()
    assert layer.delays is not None
    optimizer = torch.optim.Adam(layer.delays.parameters(), 0.1)
    for step in range(150):
        anneal_delays(layer, min(1.0, step / 100))
        optimizer.zero_grad()
        (layer.over_time(x)[0] - target).square().mean().backward()
        optimizer.step()
    round_delays(layer)
    assert layer.delays.delays.item() == 5


def test_a_model_with_delays_is_saved_loaded_and_continued(x: Tensor, tmp_path: Path) -> None:
    def build() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(Delay(SIZE, LONGEST), DelayedLinear(SIZE, SIZE, 2), recurrent(sigma=2.0)).double()

    model, again = build(), build()
    anneal_delays(model, 0.5)
    again.load_state_dict(model.state_dict())
    unroll(model, x)
    save_states(model, tmp_path / "states.safetensors")
    load_states(again, tmp_path / "states.safetensors")
    torch.testing.assert_close(unroll(again, x), unroll(model, x))
    assert again[2].delays.sigma == 1


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Delays((2,), 0, 3, interpolation="cubic"), "interpolation='cubic' is unknown"),
        (lambda: Delays((2,), 0, 3, sigma=-1.0), "sigma must be at least 0"),
        (lambda: Delays((2,), 0, 3, delays=torch.zeros(3)), r"tensor of shape \(2,\)"),
        (lambda: Delays((2,), 0, 3, sigma=math.inf), "sigma must be at least 0 steps and finite"),
        (lambda: Delays((2,), 1, 3, delays=0.0), "between 1 and 3"),
        (lambda: Delay(2, 0), "max_delay"),
        (lambda: Delays((2,), 0, 3, delays=float("nan")), "between 0 and 3"),
        (lambda: FullyRecurrent(LIB(2), sigma=2.0), "give a max_delay above 1"),
        (lambda: FullyRecurrent(LIB(2), synaptic=True), "synaptic is for delays: give a max_delay above 1"),
        (lambda: Delay(2, 3).over_time(torch.zeros(4, 1, 3)), "expected"),
    ],
)
def test_invalid_delays_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("share", [-0.1, 1.05, float("nan")])
def test_a_share_of_annealing_beyond_its_range_is_refused(share: float) -> None:
    layer = Delay(1, 4, delays=1.5, sigma=10.0)
    with pytest.raises(ValueError, match="share must be between 0 and 1"):
        anneal_delays(layer, share)
    assert layer.delays().isfinite().all() and layer.delays.sigma == 10


def test_the_export_to_nir_refuses_delays() -> None:
    nir = pytest.importorskip("nir")
    from bionets.layers.spiking.nir import to_nir

    assert nir
    for layer in (FullyRecurrent(LIB(2, spike_fn="arctan"), 3), Delay(2, 3)):
        with pytest.raises(ValueError, match="NIR cannot express"):
            to_nir(nn.Sequential(nn.Linear(3, 2), layer), sample=torch.zeros(1, 3), dt=1e-3)


def test_delays_are_distances_over_velocity() -> None:
    delays = DistanceDelays(8, 20, velocity=0.5, learn_positions=False)
    cube = torch.cartesian_prod(*3 * [torch.arange(2.0)])
    expected = 1 + torch.cdist(cube, cube) / 0.5
    torch.testing.assert_close(delays.values(), expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(delays.values().diagonal(), torch.ones(8), rtol=0, atol=1e-6)
    steps = torch.arange(1, 21).view(-1, 1, 1)
    torch.testing.assert_close((delays() * steps).sum(0), expected, rtol=0, atol=1e-3)
    layer = FullyRecurrent(PLIF(8), 20, delays=delays)
    round_delays(layer)
    assert torch.equal(delays.values(), expected.round())
    for wrong in (DistanceDelays(7, 20), DistanceDelays(8, 19), Delays((8,), 0, 20)):
        with pytest.raises(ValueError, match=r"the delays must be of shape \[8\]"):
            FullyRecurrent(PLIF(8), 20, delays=wrong)
    for velocity in (0.0, float("nan")):
        with pytest.raises(ValueError, match=f"velocity must be above 0, got {velocity}"):
            DistanceDelays(8, 20, velocity)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_positions_have_the_gradient_of_float32_in_half_precision(dtype: torch.dtype) -> None:
    """In float16, the 1e-8 under the square root would be 0, and the gradient of the distance 0 NaN."""
    found, steps = [], torch.arange(1, 7).view(-1, 1, 1)
    for kind in (torch.float32, dtype):
        torch.manual_seed(0)
        delays = DistanceDelays(5, 6).to(dtype).to(kind)
        (delays() * steps).sum().backward()
        found.append(delays.positions.grad.float())  # type: ignore[union-attr]
    torch.testing.assert_close(found[1], found[0], rtol=0.05, atol=0.1)


@pytest.mark.parametrize("delay", [0.0, 1.0, 1.5, 2.0, 4.0])
def test_the_gradient_of_a_delay_on_a_ramp_is_minus_one(delay: float) -> None:
    """y[t] = t − p, also where p is a whole number of steps or at the end of its range."""
    layer = Delay(1, 4, delays=delay)
    y, _ = layer.over_time(torch.arange(9.0).view(9, 1, 1))
    (gradient,) = torch.autograd.grad(y[8].sum(), layer.delays.delays)
    torch.testing.assert_close(gradient, torch.tensor([-1.0]))


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_spikes_may_be_integers(dtype: torch.dtype, learn: bool, x: Tensor) -> None:
    layer, spikes = Delay(x.shape[-1], 3, delays=1.25, learn=learn), (x > 0).to(dtype)
    torch.testing.assert_close(layer.over_time(spikes)[0], layer.over_time(spikes.float())[0])


@pytest.mark.parametrize("name", ["Delay", "DelayedLinear"])
def test_complex_inputs_are_refused(name: str, x: Tensor) -> None:
    with pytest.raises(TypeError, match=f"{name}: complex inputs are not supported"):
        LAYERS[name]().double().over_time(x * 1j)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_an_input_of_another_dtype_than_the_weights_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=f"DelayedLinear: input is {dtype} but the weights are torch.float32"):
        DelayedLinear(3, 4, 2)(torch.ones(2, 3, dtype=dtype))


@pytest.mark.parametrize("name", ["Delay", "DelayedLinear"])
def test_an_empty_sequence_keeps_the_state(name: str, x: Tensor) -> None:
    layer = LAYERS[name]().double()
    _, states = layer.over_time(x)
    y, after = layer.over_time(x[:0], states)
    assert y.shape == (0, *layer.over_time(x)[0].shape[1:])
    torch.testing.assert_close(after, states)


def test_lengths_are_checked_when_resets_are_given(x: Tensor) -> None:
    layer, reset = Delay(x.shape[-1], 3), torch.zeros(x.shape[:2], dtype=torch.bool)
    with pytest.raises(ValueError, match="lengths must lie between 0 and T"):
        layer.over_time(x, lengths=torch.full((x.shape[1],), len(x) + 1), reset=reset)


def test_a_delay_that_an_earlier_version_pickled_runs(x: Tensor) -> None:
    layer = layer_of("Delay")
    vars(layer).pop("in_features", None)  # earlier versions did not keep it
    assert torch.equal(unroll(layer, x), unroll(layer_of("Delay"), x))


def test_given_delays_are_copied_without_their_graph() -> None:
    given = torch.tensor([1.0, 2.0], requires_grad=True)
    for delays in (2 * given, given):
        layer = Delay(2, 4, delays=delays, learn=False)
        assert torch.equal(copy.deepcopy(layer).delays.delays, delays) and not layer.delays.delays.requires_grad


def test_gaussian_delays_of_half_precision_are_finite() -> None:
    given = torch.tensor([0.3, 1.5, 7.25, 29.7])
    lags = Delays((4,), 0, 30, delays=given, interpolation="gaussian").half()()
    assert lags.dtype == torch.float16
    mean = (torch.arange(31)[:, None] * lags.float()).sum(0)
    torch.testing.assert_close(mean, given, rtol=0, atol=0.51)


@pytest.mark.parametrize("interpolation", ["linear", "gaussian"])
def test_a_whole_delay_of_many_steps_is_one_step_in_bfloat16(interpolation: str) -> None:
    """bfloat16 has no 257."""
    lags = Delays((1,), 0, 300, delays=256.0, interpolation=interpolation).bfloat16()()
    assert lags.dtype == torch.bfloat16 and lags.flatten().nonzero().flatten().tolist() == [256]


def test_the_kept_steps_of_a_delay_do_not_keep_the_sequence_in_memory() -> None:
    delay = Delay(3, 2)
    unroll(delay, torch.randn(1000, 4, 3))
    assert delay.past.untyped_storage().nbytes() == delay.past.nbytes


def test_delays_of_neurons_are_refused_as_those_of_synapses() -> None:
    """``synaptic`` had no effect."""
    with pytest.raises(ValueError, match=r"synaptic=True needs delays of shape \[4, 4\], got \[4\]"):
        FullyRecurrent(LIB(4), 5, synaptic=True, delays=Delays((4,), 1, 5))
    FullyRecurrent(LIB(4), 5, synaptic=True, delays=Delays((4, 4), 1, 5))
