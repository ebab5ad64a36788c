"""GRU and LSTM have the parameters, the initial values, the results and the gradients of torch.nn.GRU and
torch.nn.LSTM."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence

from bionets.layers import GRU, LSTM, GRUCell, LSTMCell

TORCH = {GRU: nn.GRU, LSTM: nn.LSTM, GRUCell: nn.GRUCell, LSTMCell: nn.LSTMCell}
kinds = pytest.mark.parametrize("kind", [GRU, LSTM])


def pair(kind: type[nn.Module], *sizes: int, **options: Any) -> tuple[nn.Module, nn.Module]:
    """The layer of bionets and that of torch with the same weights."""
    theirs = TORCH[kind](*sizes, **options)
    ours = kind(*sizes, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def as_tuple(states: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (states,) if isinstance(states, Tensor) else states


def gradients(results: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    loss = sum((y * torch.arange(y.numel(), dtype=y.dtype).view(y.shape).cos()).sum() for y in results)
    return torch.autograd.grad(loss, inputs)


@kinds
@settings(max_examples=25)
@given(
    steps=st.integers(1, 6),
    batch=st.integers(1, 5),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 9)),
    num_layers=st.integers(1, 3),
    bias=st.booleans(),
    batch_first=st.booleans(),
    bidirectional=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_results_and_gradients_are_those_of_torch(
    kind: type[nn.Module], steps: int, batch: int, sizes: tuple[int, int], seed: int, **options: Any
) -> None:
    torch.manual_seed(seed)
    ours, theirs = pair(kind, *sizes, **options, dtype=torch.float64)
    shape = (batch, steps) if options["batch_first"] else (steps, batch)
    x = torch.randn(*shape, sizes[0], dtype=torch.float64, requires_grad=True)
    rows = options["num_layers"] * (1 + options["bidirectional"])
    h0 = tuple(
        torch.randn(rows, batch, sizes[1], dtype=torch.float64, requires_grad=True) for _ in ours.recurrence.states
    )
    found = []
    for layer in (ours, theirs):
        y, last = layer(x, h0 if len(h0) > 1 else h0[0])
        results = (y, *as_tuple(last))
        found.append((*results, *gradients(results, (x, *h0, *layer.parameters()))))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-10)


@kinds
def test_packed_sequences_lengths_and_torch_agree(kind: type[nn.Module]) -> None:
    ours, theirs = pair(kind, 3, 4, 2, bidirectional=True)
    lengths = torch.tensor([2, 6, 3])
    x = torch.randn(6, 3, 3)
    packed = pack_sequence([x[:length, b] for b, length in enumerate(lengths)], enforce_sorted=False)
    expected, expected_last = theirs(packed)
    found, last = ours(packed)
    torch.testing.assert_close(found.data, expected.data)
    torch.testing.assert_close(last, expected_last)
    torch.testing.assert_close(ours(x, lengths=lengths)[1], expected_last)


@kinds
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_initial_values_are_those_of_torch(kind: type[nn.Module], options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    ours = kind(3, 7, **options).state_dict()
    torch.manual_seed(0)
    theirs = TORCH[kind](3, 7, **options).state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("kind", [GRUCell, LSTMCell])
def test_cells_agree_with_those_of_torch(kind: type[nn.Module]) -> None:
    ours, theirs = pair(kind, 3, 4)
    x, states = torch.randn(5, 3), torch.randn(2, 5, 4)
    given_states = states[0] if kind is GRUCell else tuple(states)
    torch.testing.assert_close(ours(x, given_states), theirs(x, given_states))


@pytest.mark.parametrize(("kind", "remembering"), [(GRU, slice(200, 400)), (LSTM, slice(200, 400))])
def test_chrono_sets_the_gate_that_keeps_the_state(kind: type[nn.Module], remembering: slice) -> None:
    """Time constants of up to 300 steps for z of a GRU and f of an LSTM, whose rows come second; i opposes f."""
    layer = kind(3, 200, initialisation="chrono", chrono_steps=300)
    kept = layer.bias_ih_l0.detach()[remembering]
    assert kept.min() >= 0 and math.log(250) < kept.max() <= math.log(299)
    assert not layer.bias_hh_l0.any() and not layer.bias_ih_l0.detach()[400:].any()
    before = layer.bias_ih_l0.detach()[:200]
    assert torch.equal(before, -kept if kind is LSTM else torch.zeros(200))
    assert layer.weight_hh_l0.abs().max() <= 200**-0.5
    with pytest.raises(ValueError, match="needs bias=True"):
        kind(3, 4, bias=False, initialisation="chrono", chrono_steps=300)


def test_a_projection_of_the_state_is_refused() -> None:
    with pytest.raises(TypeError, match="LSTM has no argument proj_size"):
        LSTM(3, 4, proj_size=2)
