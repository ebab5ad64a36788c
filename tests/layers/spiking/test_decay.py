"""Decay constants from half-lives and time steps."""

import pytest
import torch

from bionets.layers.spiking.decay import (
    decay_from_half_life,
    decay_from_time_steps,
    half_life_from_decay,
    time_steps_from_decay,
)


def test_half_is_left_after_a_half_life() -> None:
    assert decay_from_half_life(10) ** 10 == pytest.approx(0.5)
    lives = torch.tensor([1.0, 5.0, 20.0])
    torch.testing.assert_close(decay_from_half_life(lives) ** lives, torch.full((3,), 0.5))
    torch.testing.assert_close(half_life_from_decay(decay_from_half_life(lives)), lives)
    assert half_life_from_decay(0.5) == 1.0


def test_decays_are_converted_to_and_from_time_steps() -> None:
    assert decay_from_time_steps(10) == 0.9 and time_steps_from_decay(0.75) == 4.0
    assert time_steps_from_decay(0.0) == 1.0
    torch.testing.assert_close(decay_from_time_steps(torch.tensor([1.0, 2.0])), torch.tensor([0.0, 0.5]))


@pytest.mark.parametrize(
    ("function", "value", "name"),
    [
        (decay_from_half_life, 0, "half_life"),
        (half_life_from_decay, torch.tensor([0.5, 1.0]), "decay"),
        (decay_from_time_steps, 0.5, "time_steps"),
        (time_steps_from_decay, 1.0, "decay"),
    ],
)
def test_invalid_values_are_refused_by_name(function: object, value: object, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        function(value)
