"""Resets within sequences, in whole models and layers: as if each piece were a sequence of its own."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import (
    BRC,
    GRU,
    LEM,
    LMU,
    LRU,
    LSTM,
    NBRC,
    SRC,
    CoRNN,
    MinGRU,
    MinLSTM,
    PeepholeLSTM,
    RecurrentStigmergicMemory,
    SequenceDropout,
    StatefulModule,
    StatefulRecurrent,
    StigmergicMemory,
    StigmergicPerceptron,
    UnICORNN,
    get_states,
    reset_states,
    unroll,
)
from bionets.layers.recurrent.recurrence import as_tuple
from bionets.layers.spiking import ALIF, DSRLITS, LIB, PLIF, FullyRecurrent
from tests.layers.test_lengths import MODELS

STEPS, BATCH = 7, 3
RESET = torch.zeros(STEPS, BATCH, dtype=torch.bool)
RESET[[3, 5], 0] = True  # the second sequence has no reset, the third is reset at its first step
RESET[[0, 6], 2] = True

LAYERS: dict[str, Any] = {
    "LIB": lambda: LIB(4, spike_fn="arctan"),
    "ALIF": lambda: ALIF(4, spike_fn="arctan"),
    "DSRLITS": lambda: DSRLITS(4, spike_fn="arctan"),
    "FullyRecurrent": lambda: FullyRecurrent(PLIF(4)),
    "StigmergicMemory": lambda: StigmergicMemory(4, 3),
    "RecurrentStigmergicMemory": lambda: RecurrentStigmergicMemory(4, 3, hidden_layers=2, hidden_size=5),
    "StigmergicPerceptron": lambda: StigmergicPerceptron(4, 3),
    "stigmergic weights": lambda: StigmergicPerceptron(4, 3, stigmergic_weights=True),
    "StatefulRecurrent": lambda: StatefulRecurrent(NBRC(4, 3, batch_first=True)),
}
RECURRENT = (BRC, NBRC, PeepholeLSTM, GRU, LSTM, MinGRU, MinLSTM, LRU, CoRNN, UnICORNN, LEM, LMU, SRC)


def pieces_of(b: int) -> list[tuple[int, int]]:
    starts = [0, *(t for t in range(1, STEPS) if RESET[t, b])]
    return list(zip(starts, [*starts[1:], STEPS], strict=True))


def outcome(y: Tensor, model: nn.Module) -> list[Tensor | None]:
    loss = (y * torch.arange(y.numel(), dtype=y.dtype).view(y.shape).sin()).sum()
    return [y, *torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)]


@pytest.mark.parametrize("name", [*MODELS, *LAYERS])
@pytest.mark.parametrize("started", [False, True])
def test_pieces_between_resets_equal_separate_sequences(name: str, started: bool) -> None:
    torch.manual_seed(0)
    model = {**MODELS, **LAYERS}[name]().double()
    x = 2 * torch.randn(STEPS, BATCH, *((1, 4, 4) if name in MODELS else (4,)), dtype=torch.float64)
    before = 2 * torch.randn(2, *x.shape[1:], dtype=torch.float64)
    if isinstance(unroll(model, x), dict):
        model = nn.Sequential(model, First())
    columns, states = [], []
    for b in range(BATCH):
        parts = []
        for number, (first, last) in enumerate(pieces_of(b)):
            reset_states(model)
            if started and number == 0 and not RESET[0, b]:  # the kept states go on to the first reset
                unroll(model, before[:, b : b + 1])
            parts.append(unroll(model, x[first:last, b : b + 1]))
        columns.append(torch.cat(parts))
        states.append(get_states(model))
    expected = outcome(torch.cat(columns, 1), model)
    reset_states(model)
    if started:
        unroll(model, before)
    found = outcome(unroll(model, x, reset=RESET), model)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    for key, kept in get_states(model).items():
        if not key.endswith("noise"):
            torch.testing.assert_close(kept, torch.cat([each[key] for each in states]))


class First(nn.Module):
    """The output of a model that both gives spikes and the input."""

    def forward(self, outputs: dict[str, Tensor]) -> Tensor:
        return outputs["both"]


@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"batch_first": True}], ids=str)
@pytest.mark.parametrize("layer", RECURRENT)
def test_pieces_of_recurrent_layers_equal_separate_sequences(layer: type[Any], options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = layer(4, 3, **options).double()
    x = torch.randn(STEPS, BATCH, 4, dtype=torch.float64)

    def run(x: Tensor, **given: Any) -> Tensor:
        return (
            model(x.transpose(0, 1), **given)[0].transpose(0, 1) if options.get("batch_first") else model(x, **given)[0]
        )

    columns = [torch.cat([run(x[i:j, b : b + 1]) for i, j in pieces_of(b)]) for b in range(BATCH)]
    found = run(x, reset=RESET.T if options.get("batch_first") else RESET)
    for one, other in zip(outcome(found, model), outcome(torch.cat(columns, 1), model), strict=True):
        torch.testing.assert_close(one, other)


def test_gates_between_resets_equal_those_of_separate_sequences() -> None:
    layer, x = NBRC(4, 3, bidirectional=True).double(), torch.randn(STEPS, BATCH, 4, dtype=torch.float64)
    _, _, gates = layer(x, reset=RESET, return_gates=True)
    for b in range(BATCH):
        apart = [layer(x[i:j, b : b + 1], return_gates=True)[2] for i, j in pieces_of(b)]
        for direction in range(2):
            expected = torch.cat([piece[direction].a for piece in apart])
            torch.testing.assert_close(gates[direction].a[:, b : b + 1], expected)


def test_resets_and_lengths_can_be_combined() -> None:
    layer, lengths = FullyRecurrent(PLIF(4)).double(), torch.tensor([6, 2, 7])
    x = 3 * torch.randn(STEPS, BATCH, 4, dtype=torch.float64)
    y, states = layer.over_time(x, lengths=lengths, reset=RESET)
    for b in range(BATCH):
        parts = [(i, min(j, int(lengths[b]))) for i, j in pieces_of(b) if i < lengths[b]]
        found = [layer.over_time(x[i:j, b : b + 1]) for i, j in parts]
        torch.testing.assert_close(y[: lengths[b], b : b + 1], torch.cat([each for each, _ in found]))
        assert not y[lengths[b] :, b].any()
        for one, other in zip(states, found[-1][1], strict=True):
            torch.testing.assert_close(one[b : b + 1], other)


def test_layers_without_reset_and_invalid_resets_are_refused() -> None:
    x = torch.randn(STEPS, BATCH, 4)
    for model, message in (
        (StatefulRecurrent(nn.GRU(4, 3)), "GRU of torch has no reset"),
        (LIB(4), r"reset must be \[7, 3\] bools"),
    ):
        assert isinstance(model, StatefulModule)
        with pytest.raises(ValueError, match=message):
            unroll(model, x, reset=RESET if "GRU" in message else RESET.float())
    with pytest.raises(ValueError, match="reset is for a batch"):
        BRC(4, 3)(x[:, 0], reset=RESET[:, 0])


def test_each_piece_has_its_own_dropout_mask() -> None:
    torch.manual_seed(0)
    y = SequenceDropout(0.5).over_time(torch.ones(STEPS, BATCH, 64), reset=RESET)[0]
    for b in range(BATCH):
        pieces = [y[first:last, b] for first, last in pieces_of(b)]
        assert all(bool((piece == piece[0]).all()) for piece in pieces)
        assert all(not torch.equal(one[0], other[0]) for one, other in pairwise(pieces))


@pytest.mark.parametrize("layer", [BRC, LRU])
def test_a_reset_past_the_end_of_a_sequence_changes_nothing(layer: type[Any]) -> None:
    torch.manual_seed(0)
    model, lengths = layer(4, 3, bidirectional=True).double(), torch.tensor([3, 5, 6])
    x = torch.randn(STEPS, BATCH, 4, dtype=torch.float64)
    h0 = [torch.randn(2, BATCH, 3, dtype=torch.float64) for _ in model.recurrence.states]
    y, last = model(x, h0, lengths=lengths, reset=RESET)
    for b, end in enumerate(lengths.tolist()):
        start = [each[:, b : b + 1] for each in h0]
        found, alone = model(x[:end, b : b + 1], start, reset=RESET[:end, b : b + 1])
        torch.testing.assert_close(y[:end, b : b + 1], found)
        for one, other in zip(as_tuple(last), as_tuple(alone), strict=True):
            torch.testing.assert_close(one[:, b : b + 1], other)
