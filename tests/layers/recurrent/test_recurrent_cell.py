"""BRCCell, NBRCCell, PeepholeLSTMCell, GRUCell and LSTMCell: one step of their layers, with the interface of nn.GRUCell
and nn.LSTMCell."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import (
    BRC,
    GRU,
    LSTM,
    NBRC,
    BRCCell,
    GRUCell,
    LSTMCell,
    NBRCCell,
    PeepholeLSTM,
    PeepholeLSTMCell,
)

CELLS = {BRC: BRCCell, NBRC: NBRCCell, PeepholeLSTM: PeepholeLSTMCell, GRU: GRUCell, LSTM: LSTMCell}
INPUT, HIDDEN, BATCH = 3, 4, 5


def make(kind: type[nn.Module], **options: object) -> nn.Module:
    cell = CELLS[kind](INPUT, HIDDEN, dtype=torch.float64, **options)
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=0.7)
    return cell


def as_tuple(states: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (states,) if isinstance(states, Tensor) else states


def as_given(states: tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    return states if len(states) > 1 else states[0]


def random_states(kind: type[nn.Module], *batch: int) -> tuple[Tensor, ...]:
    return tuple(torch.randn(*batch, HIDDEN, dtype=torch.float64, requires_grad=True) for _ in kind.recurrence.states)


@pytest.mark.parametrize("bias", [True, False])
def test_a_cell_is_one_step_of_its_layer(kind: type[nn.Module], bias: bool) -> None:
    cell, layer = make(kind, bias=bias), kind(INPUT, HIDDEN, bias=bias, dtype=torch.float64, backend="reference")
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    x = torch.randn(6, BATCH, INPUT, dtype=torch.float64)
    state = as_given(random_states(kind, BATCH))
    output, last = layer(x, as_given(tuple(s.unsqueeze(0) for s in as_tuple(state))))
    for x_t, y_t in zip(x, output, strict=True):
        state = cell(x_t, state)
        torch.testing.assert_close(as_tuple(state)[0], y_t)
    torch.testing.assert_close(as_tuple(state), tuple(s.squeeze(0) for s in as_tuple(last)))


def test_gradcheck(kind: type[nn.Module]) -> None:
    cell = make(kind)
    names, values = zip(*cell.named_parameters(), strict=True)
    x, states = torch.randn(2, INPUT, dtype=torch.float64, requires_grad=True), random_states(kind, 2)

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state, parameters = as_given(rest[: len(states)]), rest[len(states) :]
        return as_tuple(torch.func.functional_call(cell, dict(zip(names, parameters, strict=True)), (x, state)))

    assert torch.autograd.gradcheck(run, (x, *states, *values))


def test_unbatched_input_is_a_batch_of_one(kind: type[nn.Module]) -> None:
    cell, x, states = make(kind), torch.randn(INPUT, dtype=torch.float64), random_states(kind)
    batched = cell(x.unsqueeze(0), as_given(tuple(s.unsqueeze(0) for s in states)))
    torch.testing.assert_close(as_tuple(cell(x, as_given(states))), tuple(s.squeeze(0) for s in as_tuple(batched)))


@pytest.mark.parametrize("batch", [(), (BATCH,)])
def test_shapes_and_repr_are_those_of_gru_and_lstm_cells(kind: type[nn.Module], batch: tuple[int, ...]) -> None:
    theirs = nn.LSTMCell if len(kind.recurrence.states) == 2 else nn.GRUCell
    x = torch.randn(*batch, INPUT)
    for options in ({}, {"bias": False}):
        ours, peer = CELLS[kind](INPUT, HIDDEN, **options), theirs(INPUT, HIDDEN, **options)
        assert [s.shape for s in as_tuple(ours(x))] == [s.shape for s in as_tuple(peer(x))]
        assert repr(ours) == repr(peer).replace(theirs.__name__, CELLS[kind].__name__)


def test_parameters_have_the_names_of_the_layer_without_suffix(kind: type[nn.Module]) -> None:
    shapes = {name: p.shape for name, p in CELLS[kind](INPUT, HIDDEN).named_parameters()}
    expected = {name.removesuffix("_l0"): p.shape for name, p in kind(INPUT, HIDDEN).named_parameters()}
    assert shapes == expected


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda cell: cell(torch.randn(2, 7)), "input_size=3, got 7"),
        (lambda cell: cell(torch.randn(2, 2, 3)), "1-D or 2-D, got 3-D"),
        (lambda cell: cell(torch.randn(2, 3).double()), "float64 but the weights are"),
        (lambda cell: cell(torch.randn(2, 3), wrong_states(cell, 3, 4)), r"h0 of shape \(2, 4\), got \(3, 4\)"),
    ],
)
def test_bad_arguments_give_a_one_line_error(kind: type[nn.Module], use: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        use(CELLS[kind](INPUT, HIDDEN))
    assert "\n" not in str(caught.value)


def wrong_states(cell: nn.Module, *shape: int) -> Tensor | tuple[Tensor, ...]:
    return as_given((torch.zeros(shape),) * len(cell.recurrence.states))
