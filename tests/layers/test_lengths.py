"""Batches of sequences of different lengths in whole models, readouts and losses: as if each sequence were alone."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from bionets.layers import BRC, NBRC, StatefulModule, StatefulRecurrent, get_states, reset_states, unroll
from bionets.layers.recurrent.bistable import BistableLayer
from bionets.layers.spiking import LI, LIB, PLIF
from bionets.layers.spiking.losses import cross_entropy_each_step, first_spike_cross_entropy, spike_rate_error
from bionets.layers.spiking.readouts import READOUTS

STEPS, LENGTHS = 7, torch.tensor([4, 7, 0, 1])


class Patches(nn.Module):
    """Cuts each image into two samples."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (2, -1)).movedim(-2, 1).flatten(0, 1)


class Together(nn.Module):
    """Two samples into one."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(0, (-1, 2)).flatten(1)


class Shortcut(nn.Module):
    """Two outputs, one of them past a layer with a state."""

    def __init__(self) -> None:
        super().__init__()
        self.neurons = LIB(16, spike_fn="arctan")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = x.flatten(1)
        return {"both": x + self.neurons(3 * x), "input": x.sum(1), "class": x.argmax(1)}


MODELS: dict[str, Callable[[], nn.Module]] = {
    "max-pooling behind neurons": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), LIB(2, dim=-3, spike_fn="arctan"), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2)
    ),
    "a recurrent layer between spiking ones": lambda: nn.Sequential(
        nn.Flatten(), PLIF(16), StatefulRecurrent(NBRC(16, 5)), nn.Linear(5, 3), nn.LayerNorm(3), LI(3)
    ),
    "samples cut into more": lambda: nn.Sequential(Patches(), nn.Flatten(), LI(8), Together()),
    "several outputs": Shortcut,
}


@pytest.fixture
def x() -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randn(STEPS, len(LENGTHS), 1, 4, 4, generator=random, dtype=torch.float64)


def padded(y: Tensor) -> Tensor:
    return torch.cat([y, y.new_zeros(STEPS - len(y), *y.shape[1:])])


def outcome(model: nn.Module, y: Any) -> tuple[Any, list[Tensor | None]]:
    leaves = list(y.values()) if isinstance(y, dict) else [y]
    loss = sum((leaf * torch.arange(leaf.numel()).view(leaf.shape).sin()).sum() for leaf in leaves)
    return y, list(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_sees_each_sequence_as_if_it_were_alone(name: str, x: Tensor) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().double()
    runs = []
    for n, length in enumerate(LENGTHS.tolist()):
        reset_states(model)
        runs.append(unroll(model, x[:length, n : n + 1]))
    whole = pytree.tree_map(lambda *alone: torch.cat([padded(y) for y in alone], 1), *runs)
    expected = outcome(model, whole)
    reset_states(model)
    beyond = torch.arange(STEPS).view(-1, 1, 1, 1, 1) >= LENGTHS.view(-1, 1, 1, 1)
    found = outcome(model, unroll(model, x.masked_fill(beyond, torch.nan), lengths=LENGTHS))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_time_invariant_images_equal_repeated_images(x: Tensor) -> None:
    model = MODELS["max-pooling behind neurons"]().double()
    still = x[:1].expand_as(x)
    y = unroll(model, still, lengths=LENGTHS)
    reset_states(model)
    torch.testing.assert_close(y, unroll(model, still.contiguous(), lengths=LENGTHS))


def test_batch_normalisation_takes_its_statistics_over_the_valid_steps(x: Tensor) -> None:
    x, norm, other = x.float().flatten(2), nn.BatchNorm1d(16), nn.BatchNorm1d(16)
    y = unroll(nn.Sequential(norm), x, lengths=LENGTHS)
    valid = torch.cat([x[:length, n] for n, length in enumerate(LENGTHS)])
    torch.testing.assert_close(torch.cat([y[:length, n] for n, length in enumerate(LENGTHS)]), other(valid))
    torch.testing.assert_close(norm.state_dict(), other.state_dict())


def test_lengths_of_zero_give_zero_outputs_and_states(x: Tensor) -> None:
    model = MODELS["a recurrent layer between spiking ones"]().double()
    y = unroll(model, x, lengths=torch.zeros(len(LENGTHS), dtype=torch.int32))
    assert y.shape == (STEPS, len(LENGTHS), 3) and not y.any()
    assert not any(state.any() for state in get_states(model).values())


@pytest.mark.parametrize("name", ["samples cut into more", "max-pooling behind neurons"])
def test_a_piece_after_the_end_of_all_sequences_changes_no_state(name: str, x: Tensor) -> None:
    model = MODELS[name]().double()
    unroll(model, x)
    before = get_states(model)
    y = unroll(model, x, lengths=torch.zeros(len(LENGTHS), dtype=torch.int64))
    assert len(y) == STEPS and not y.any()
    assert len(unroll(model, x[:0])) == 0
    after = get_states(model)
    assert all(torch.equal(after[key], state) for key, state in before.items())


def test_the_compiled_scan_and_the_reference_agree(x: Tensor) -> None:
    results = []
    for backend in ("auto", "reference"):
        torch.manual_seed(0)
        layer = StatefulRecurrent(BRC(16, 5, backend=backend)).double()
        results.append(outcome(layer, unroll(layer, x.flatten(2), lengths=LENGTHS)))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([4, 7, 0], r"lengths must be \[4\] integers, got shape \[3\]"),
        ([4.0, 7.0, 0.0, 1.0], "lengths must be integers, got torch.float32"),
        ([True, True, False, True], "lengths must be integers, got torch.bool"),
        ([4, 8, 0, 1], "between 0 and T = 7, got 0 to 8"),
        ([4, -1, 0, 1], "between 0 and T = 7, got -1 to 4"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(lengths: list[float], message: str, x: Tensor) -> None:
    given, x = torch.tensor(lengths), x.flatten(2)
    neurons = LIB(16).double()
    for call in (
        lambda: unroll(neurons, x, lengths=given),
        lambda: neurons(x, whole_sequence=True, lengths=given),
        lambda: BRC(16, 5).double()(x, lengths=given),
        lambda: READOUTS["spike_rate"](x, given),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert get_states(neurons) == {}


def test_lengths_without_a_batch_or_without_time_are_refused(x: Tensor) -> None:
    x = x.flatten(2)
    with pytest.raises(ValueError, match="LIB: lengths are for a whole sequence"):
        LIB(16)(x[0], lengths=LENGTHS)
    for layer in (LIB(16), StatefulRecurrent(BRC(16, 5).double())):
        with pytest.raises(ValueError, match="lengths must be for a batch"):
            layer.over_time(x[:, 0], lengths=torch.tensor([3]))
    with pytest.raises(ValueError, match="BRC: lengths are for a batch"):
        BRC(16, 5).double()(x[:, 0], lengths=torch.tensor([3]))
    with pytest.raises(ValueError, match="BRC: lengths are for a batch"):
        BRC(16, 5).double()(nn.utils.rnn.pack_sequence([x[:, 0]]), lengths=torch.tensor([7]))


def test_a_user_layer_without_lengths_is_refused_by_name(x: Tensor) -> None:
    class Old(StatefulModule):
        state_names = ("sum",)

        def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
            return (tuple(input_shape),)

        def over_time(self, x: Tensor, states: Any = None, *, backend: str = "auto") -> Any:
            return x.cumsum(0), (x.sum(0),)

    assert unroll(Old(), x).shape == x.shape
    with pytest.raises(TypeError, match=r"Old\.over_time\(\).*lengths"):
        unroll(Old(), x, lengths=LENGTHS)


@pytest.mark.parametrize("kind", [BRC, NBRC])
def test_the_gates_of_each_sequence_equal_those_of_the_sequence_alone(kind: type[BistableLayer], x: Tensor) -> None:
    layer, x = kind(16, 5, num_layers=2, bidirectional=True).double(), x.flatten(2)
    h0 = torch.randn(4, len(LENGTHS), 5, dtype=torch.float64)
    _, _, gates = layer(x, h0, lengths=LENGTHS, return_gates=True)
    for n, length in enumerate(LENGTHS.tolist()):
        _, _, alone = layer(x[:length, n : n + 1], h0[:, n : n + 1], return_gates=True)
        for found, expected in zip(gates, alone, strict=True):
            for gate, one in zip(found, expected, strict=True):
                torch.testing.assert_close(gate[:, n : n + 1], padded(one))


SEQUENCES = st.lists(st.integers(0, 5), min_size=1, max_size=4)


@pytest.mark.parametrize("name", READOUTS)
@given(lengths=SEQUENCES, seed=st.integers(0, 99))
def test_a_readout_reads_each_sequence_alone(name: str, lengths: list[int], seed: int) -> None:
    x = torch.rand(5, len(lengths), 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 0.5
    found = READOUTS[name](x, torch.tensor(lengths))
    for n, length in enumerate(lengths):
        alone = READOUTS[name](x[:length, n : n + 1])[0] if length else torch.zeros(3, dtype=x.dtype)
        torch.testing.assert_close(found[n], alone)


@pytest.mark.parametrize("name", READOUTS)
def test_steps_past_the_end_have_no_gradient(name: str) -> None:
    x = torch.rand(4, 2, 3)
    x[2:, 0] = torch.nan
    x.requires_grad_()
    READOUTS[name](x, torch.tensor([2, 4])).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all() and not x.grad[2:, 0].any()


LOSSES = {
    "cross_entropy_each_step": functools.partial(cross_entropy_each_step, label_smoothing=0.1),
    "spike_rate_error": spike_rate_error,
    "first_spike_cross_entropy": first_spike_cross_entropy,
}


@pytest.mark.parametrize("name", LOSSES)
@given(lengths=SEQUENCES.map(lambda lengths: [length or 1 for length in lengths]), seed=st.integers(0, 99))
def test_a_loss_is_the_mean_over_single_sequences(name: str, lengths: list[int], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(5, len(lengths), 3, generator=random, dtype=torch.float64)
    target = torch.randint(3, (len(lengths),), generator=random)
    alone = [LOSSES[name](x[:length, n : n + 1], target[n : n + 1]) for n, length in enumerate(lengths)]
    torch.testing.assert_close(LOSSES[name](x, target, lengths=torch.tensor(lengths)), torch.stack(alone).mean())


def test_lengths_and_resets_that_are_not_tensors_are_refused(x: Tensor) -> None:
    for model in (LIB(16).double(), StatefulRecurrent(BRC(16, 5).double())):
        with pytest.raises(TypeError, match="lengths must be a tensor of integers, got a list"):
            unroll(model, x.flatten(2), lengths=[4, 7, 0, 1])
        with pytest.raises(TypeError, match="reset must be a tensor of bools, got a list"):
            unroll(model, x.flatten(2), reset=[[True] * 4] * STEPS)
