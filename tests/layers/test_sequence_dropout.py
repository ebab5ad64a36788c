"""One dropout mask for a whole sequence, whether it runs at once or step by step."""

import pytest
import torch
from torch import nn

from bionets.layers import SequenceDropout, get_states, reset_states, set_states, unroll


def test_steps_share_a_mask_and_samples_do_not() -> None:
    torch.manual_seed(0)
    y = unroll(SequenceDropout(0.5), torch.ones(7, 4, 50))
    assert bool((y == y[0]).all())
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(y[0, 0], y[0, 1])


def test_step_by_step_and_chunks_equal_one_pass() -> None:
    model = nn.Sequential(nn.Linear(3, 8), SequenceDropout(0.4), nn.Linear(8, 2))
    x = torch.randn(6, 5, 3)
    whole = unroll(model, x)
    mask = get_states(model)
    reset_states(model)
    set_states(model, mask)
    torch.testing.assert_close(torch.stack([model(step) for step in x]), whole)
    set_states(model, mask)
    torch.testing.assert_close(torch.cat([unroll(model, x[:2]), unroll(model, x[2:])]), whole)


def test_a_reset_draws_a_new_mask() -> None:
    layer = SequenceDropout(0.5)
    first = layer(torch.ones(2, 100))
    assert torch.equal(layer(torch.ones(2, 100)), first)
    reset_states(layer)
    assert not torch.equal(layer(torch.ones(2, 100)), first)


def test_evaluation_leaves_the_input_as_it_is() -> None:
    layer = SequenceDropout(0.5)
    x = torch.randn(4, 2, 3)
    unroll(layer, x)
    assert torch.equal(unroll(layer.eval(), x), x)


def test_the_gradient_is_the_mask() -> None:
    layer = SequenceDropout(0.5)
    x = torch.randn(4, 2, 3, requires_grad=True)
    unroll(layer, x).sum().backward()
    assert layer.mask is not None and x.grad is not None
    assert torch.equal(x.grad, layer.mask.expand_as(x))


def test_steps_past_the_end_are_zero() -> None:
    y = unroll(SequenceDropout(0.2), torch.ones(4, 2, 3), lengths=torch.tensor([4, 1]))
    assert not y[1:, 1].any()


def test_a_reset_past_the_end_keeps_the_mask() -> None:
    layer, reset = SequenceDropout(0.5), torch.zeros(5, 2, dtype=torch.bool)
    reset[3] = True
    y, (mask,) = layer.over_time(torch.ones(5, 2, 100), lengths=torch.tensor([5, 2]), reset=reset)
    assert torch.equal(mask[1], y[0, 1])
    assert torch.equal(mask[0], y[4, 0]) and not torch.equal(mask[0], y[0, 0])


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_p_must_be_a_probability(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        SequenceDropout(p)


@pytest.mark.parametrize("training", [True, False])
def test_resets_are_checked(training: bool) -> None:
    with pytest.raises(ValueError, match=r"reset must be \[3, 2\] bools, got \[2, 3\]"):
        SequenceDropout().train(training).over_time(torch.ones(3, 2, 4), reset=torch.ones(2, 3, dtype=torch.bool))


def test_lengths_are_checked() -> None:
    with pytest.raises(ValueError, match=r"lengths must be \[3\] integers"):
        SequenceDropout().over_time(torch.ones(5, 3, 4), lengths=torch.tensor([2]))


def test_training_draws_a_mask_after_evaluation() -> None:
    layer, x = SequenceDropout(0.5).eval(), torch.ones(4, 50, 3)
    assert torch.equal(unroll(layer, x), x)
    assert set(unroll(layer.train(), x).unique().tolist()) == {0.0, 2.0}


def test_evaluation_draws_no_random_numbers() -> None:
    layer, x = SequenceDropout(0.5).eval(), torch.ones(4, 50, 3)
    before = torch.get_rng_state()
    assert torch.equal(unroll(layer, x), x)
    assert torch.equal(unroll(layer, x.long()), x.long())
    assert torch.equal(torch.get_rng_state(), before)
