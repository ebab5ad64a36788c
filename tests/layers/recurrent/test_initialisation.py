"""Every initialisation: its parameters, and the dynamics of the cell that it gives."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import BRC, LRU, NBRC, BRCCell, NBRCCell, PeepholeLSTM, PeepholeLSTMCell

INPUT, HIDDEN = 40, 60


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def is_xavier(block: Tensor) -> bool:
    """Uniform up to the limit of the block's own fan-in and fan-out."""
    limit = math.sqrt(6 / sum(block.shape))
    return 0.98 * limit < block.abs().max() <= limit and abs(block.std() / limit - 1 / math.sqrt(3)) < 0.03


def is_orthogonal(block: Tensor) -> bool:
    return torch.allclose(block @ block.T, torch.eye(len(block)), atol=1e-5)


def undriven(cell: nn.Module, h: Tensor, steps: int) -> Tensor:
    """The state after `steps` steps without input."""
    with torch.no_grad():
        for _ in range(steps):
            h = cell(torch.zeros(len(h), cell.input_size), h)
    return h


def growth_at_rest(cell: nn.Module) -> Tensor:
    """dh'/dh of every unit at h = 0, x = 0: c + (1 − c)·a, above one exactly where a > 1."""
    jacobian = torch.func.jacrev(lambda h: cell(torch.zeros(cell.input_size), h))(torch.zeros(cell.hidden_size))
    return jacobian.diagonal()


@pytest.mark.parametrize("cell", [BRCCell, NBRCCell])
@pytest.mark.parametrize("initialisation", ["paper2020", "paper2021", "bistable", "chrono"])
def test_input_weights_are_xavier_uniform_for_each_gate(cell: type[nn.Module], initialisation: str) -> None:
    weight = cell(INPUT, HIDDEN, initialisation=initialisation, chrono_steps=10).weight_ih.detach()
    assert all(is_xavier(block) for block in weight.chunk(3))


@pytest.mark.parametrize("initialisation", ["paper2020", "paper2021"])
def test_paper_initialisations_have_zero_bias_and_start_at_the_pitchfork_bifurcation(initialisation: str) -> None:
    brc, nbrc = (cell(INPUT, HIDDEN, initialisation=initialisation) for cell in (BRCCell, NBRCCell))
    for cell in (brc, nbrc):
        assert not cell.bias.any()
        torch.testing.assert_close(growth_at_rest(cell), torch.ones(HIDDEN))
    assert torch.equal(brc.weight_hh, torch.ones(2 * HIDDEN))
    fits = is_orthogonal if initialisation == "paper2020" else is_xavier
    assert all(fits(block) for block in nbrc.weight_hh.detach().chunk(2))


def test_the_default_initialisations_are_the_documented_ones() -> None:
    assert BRC(1, 1).initialisation == NBRC(1, 1).initialisation == "paper2020"
    assert PeepholeLSTM(1, 1).initialisation == "uniform"
    assert LRU(1, 1).initialisation == "ring"


@pytest.mark.parametrize("cell", [BRCCell, NBRCCell])
def test_the_resting_state_of_bistable_units_is_unstable(cell: type[nn.Module]) -> None:
    assert (growth_at_rest(cell(INPUT, HIDDEN, initialisation="bistable")) > 1.5).all()


def test_bistable_units_have_two_stable_states() -> None:
    cell = BRCCell(INPUT, HIDDEN, initialisation="bistable")
    for start in (0.05, 1.0):
        high, low = (undriven(cell, torch.full((1, HIDDEN), sign * start), 300) for sign in (1, -1))
        assert (high > 0.5).all() and (low < -0.5).all()
        for state in (high, low):
            torch.testing.assert_close(undriven(cell, state, 1), state)  # at rest ...
            torch.testing.assert_close(undriven(cell, state + 0.05, 100), state)  # ... and back there when pushed


def test_paper2020_units_have_no_lower_stable_state() -> None:
    h = undriven(BRCCell(INPUT, HIDDEN, initialisation="paper2020"), torch.full((1, HIDDEN), -0.5), 2000)
    assert (h.abs() < 0.01).all()


@pytest.mark.parametrize("cell", [BRCCell, NBRCCell])
def test_chrono_spreads_the_time_constants_up_to_the_given_steps(cell: type[nn.Module]) -> None:
    bias_a, bias_c = cell(INPUT, 200, initialisation="chrono", chrono_steps=300).bias.detach().chunk(2)
    assert not bias_a.any()
    steps = bias_c.exp()
    assert steps.min() >= 1 and steps.max() <= 299 * (1 + 1e-5)
    assert abs(steps.mean() - 150) < 15 and steps.max() > 285  # uniform between 1 and 299


def test_chrono_has_the_recurrent_weights_of_paper2020() -> None:
    brc, nbrc = (cell(INPUT, HIDDEN, initialisation="chrono", chrono_steps=10) for cell in (BRCCell, NBRCCell))
    assert torch.equal(brc.weight_hh, torch.ones(2 * HIDDEN))
    assert all(is_orthogonal(block) for block in nbrc.weight_hh.detach().chunk(2))


def test_peephole_lstm_uniform_has_the_limit_of_lstm() -> None:
    layer = PeepholeLSTM(INPUT, HIDDEN)
    for parameter in layer.parameters():
        limit = HIDDEN**-0.5
        assert 0.95 * limit < parameter.abs().max() <= limit


def test_peephole_lstm_glorot_is_xavier_and_orthogonal_with_a_forget_bias_of_one() -> None:
    cell = PeepholeLSTMCell(INPUT, HIDDEN, initialisation="glorot")
    assert all(is_xavier(block) for block in cell.weight_ih.detach().chunk(4))
    assert all(is_orthogonal(block) for block in cell.weight_hh.detach().chunk(4))
    assert all(is_xavier(block) for block in cell.weight_ch.detach().chunk(3))
    forget, *others = cell.bias.chunk(4)
    assert torch.equal(forget, torch.ones(HIDDEN)) and not torch.cat(others).any()
    assert "bias" not in PeepholeLSTM(INPUT, HIDDEN, bias=False, initialisation="glorot").state_dict()


def test_peephole_lstm_chrono_opens_forget_gates_and_closes_input_gates() -> None:
    cell = PeepholeLSTMCell(INPUT, 200, initialisation="chrono", chrono_steps=300)
    forget, entry, candidate, output = cell.bias.detach().chunk(4)
    assert forget.min() >= 0 and math.log(285) < forget.max() <= math.log(299) + 1e-5
    assert torch.equal(entry, -forget) and not candidate.any() and not output.any()


def test_every_layer_and_direction_is_initialised() -> None:
    layer = NBRC(INPUT, HIDDEN, 2, bidirectional=True, initialisation="bistable")
    for k in range(2):
        for suffix in (f"_l{k}", f"_l{k}_reverse"):
            assert all(is_orthogonal(block) for block in getattr(layer, "weight_hh" + suffix).detach().chunk(2))
            bias_a, bias_c = getattr(layer, "bias" + suffix).chunk(2)
            assert bias_a.eq(2).all() and bias_c.eq(-1).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_every_dtype_can_be_initialised(kind: type[nn.Module], dtype: torch.dtype) -> None:
    for initialisation in kind.recurrence.initialisations:
        layer = kind(2, 3, dtype=dtype, initialisation=initialisation, chrono_steps=10)
        assert all(p.dtype == dtype and p.isfinite().all() for p in layer.parameters())


def test_an_unknown_initialisation_is_refused_with_the_known_ones(kind: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"unknown initialisation 'bistabel'; choose one of .*chrono") as caught:
        kind(2, 3, initialisation="bistabel")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chrono_steps", [None, 1, 0, math.nan, math.inf, "10"])
def test_chrono_needs_at_least_two_chrono_steps(kind: type[nn.Module], chrono_steps: Any) -> None:
    with pytest.raises(ValueError, match=f"chrono_steps >= 2, .*; got {chrono_steps!r}"):
        kind(2, 3, initialisation="chrono", chrono_steps=chrono_steps)


def test_initialisations_that_set_the_biases_need_bias(kind: type[nn.Module]) -> None:
    names = {"bistable", "chrono"} & set(kind.recurrence.initialisations)
    for name in names:
        with pytest.raises(ValueError, match=f"'{name}' sets the biases and needs bias=True"):
            kind(2, 3, bias=False, initialisation=name, chrono_steps=10)
