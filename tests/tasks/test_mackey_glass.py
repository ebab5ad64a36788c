"""Mackey-Glass: the series, its three parts, and the error of a closed loop."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from bionets.tasks import MackeyGlass
from bionets.tasks.mackey_glass import INITIAL_VALUES, LYAPUNOV_TIMES, integrate, mackey_glass_rate, symmetric_errors
from bionets.tasks.metrics import MeanOf

SMALL: dict[str, Any] = {"train_times": 4.0, "val_times": 1.0, "test_times": 2.0, "window": 1.0, "points": 20}


def test_the_equation_has_its_fixed_point() -> None:
    """x = 1 is one: 0.2 · 1 / 2 − 0.1 · 1 = 0."""
    assert mackey_glass_rate(1.0, 1.0) == 0
    assert mackey_glass_rate(0.5, 0.8) == pytest.approx(0.2 * 0.8 / (1 + 0.8**10) - 0.05)
    np.testing.assert_array_equal(integrate(mackey_glass_rate, 1.0, 17, np.linspace(0, 200, 11)), 1.0)


def test_a_short_delay_ends_in_the_fixed_point() -> None:
    values = integrate(mackey_glass_rate, 0.5, 2, np.array([1000.0]))
    assert values[0] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("tau", LYAPUNOV_TIMES)
def test_the_series_stays_on_its_attractor(tau: int) -> None:
    series = MackeyGlass(tau, train_times=4.0, val_times=0.5, test_times=2.0, seed=tau).series
    assert len(series) == 6 * 75
    assert 0.1 < float(series.min()) < 0.6
    assert 1.1 < float(series.max()) < 1.5


def test_values_are_sampled_at_a_fraction_of_the_lyapunov_time() -> None:
    task = MackeyGlass(17, seed=0)
    times = 17 + np.arange(1500) * 197 / 75
    np.testing.assert_array_equal(
        task.series[:, 0, 0].numpy(), integrate(mackey_glass_rate, INITIAL_VALUES[17], 17, times)
    )


def test_each_seed_begins_half_a_lyapunov_time_later() -> None:
    first, second = MackeyGlass(seed=0, **SMALL).series, MackeyGlass(seed=1, **SMALL).series
    torch.testing.assert_close(first[10:], second[:-10], rtol=0, atol=1e-8)
    assert torch.equal(MackeyGlass(seed=31, **SMALL).series, second)


def test_the_three_parts_follow_each_other() -> None:
    task = MackeyGlass(**SMALL)
    mean, deviation = task.scale
    whole = ((task.series - mean) / deviation).float()
    assert (mean, deviation) == (pytest.approx(task.series[:60].mean()), pytest.approx(task.series[:60].std()))
    seen, validation = task.val_data()
    all_seen, test = task.test_data("test")
    assert torch.equal(torch.cat([seen, validation]), all_seen)
    assert torch.equal(torch.cat([all_seen, test]), whole)
    assert (len(seen), len(validation), len(test)) == (60, 20, 40)


def test_windows_lie_in_the_training_part_and_have_the_next_values_as_targets() -> None:
    task = MackeyGlass(**SMALL, train_size=500)
    x, target = task.train_data(3)
    assert x.shape == (20, 500, 1)
    assert target.shape == (8, 500, 1)
    assert torch.equal(x[13:], target[:-1])
    part = task.val_data()[0][:, 0, 0]
    places = {tuple(part[start : start + 20].tolist()): start for start in range(40)}
    starts = {places[tuple(row.tolist())] for row in x[:, :, 0].T}
    assert starts == set(range(40))
    assert torch.equal(task.train_data(3)[0], x)
    assert not torch.equal(task.train_data(4)[0], x)


def test_the_loss_leaves_out_the_warm_up() -> None:
    task = MackeyGlass(**SMALL)
    x, target = task.train_data(0)
    prediction = torch.cat([torch.full((12, *x.shape[1:]), 9.0), target + 0.5])
    assert float(task.loss(prediction, target)) == pytest.approx(0.25)


def test_the_error_is_computed_on_unscaled_values() -> None:
    metric = MeanOf(partial(symmetric_errors, mean=0.9, deviation=0.2))
    truth, guess = torch.tensor([[0.5], [1.2], [0.8]]), torch.tensor([[0.6], [1.2], [-0.8]])
    metric.update((guess - 0.9) / 0.2, (truth - 0.9) / 0.2)
    assert float(metric.compute()) == pytest.approx((200 * 0.1 / 1.1 + 0 + 200) / 3, rel=1e-5)
    metric.reset()
    metric.update(torch.tensor([[float("nan")]]), torch.tensor([[0.0]]))
    assert float(metric.compute()) == 200


def test_the_error_of_a_diverging_forecast_is_at_most_200_in_half_precision() -> None:
    error = symmetric_errors(torch.tensor([[2000.0]]).half(), torch.tensor([[0.0]]).half(), 0.9, 0.2)
    assert float(error) == pytest.approx(200, rel=0.01)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tau": 16}, "task.tau must be one of 17 to 30, got 16"),
        ({"val_times": 10.0}, "must leave a step for training"),
        ({"window": 6.0}, "task.warm_up must be shorter than task.window"),
        ({"warm_up": 3.0}, "task.warm_up must be shorter than task.window"),
        ({"test_times": math.inf}, "task.test_times must be a finite number"),
        ({"window": math.nan}, "task.window must be a finite number"),
        ({"points": 0}, "task.points must be at least 1, got 0"),
    ],
)
def test_invalid_values_give_a_one_line_error(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        MackeyGlass(**keys)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("tau", [17, 24, 30])
def test_neighbouring_trajectories_diverge_at_the_rate_of_the_lyapunov_time(tau: int) -> None:
    """Their distance, a root mean square over each Lyapunov time, grows by e in one: from 1e-9 to 1e-2 by e^16."""
    times = np.arange(0.0, 35 * LYAPUNOV_TIMES[tau])
    taken = []
    for initial in (0.5, 0.7, 0.85, 1.2):
        one, other = (integrate(mackey_glass_rate, start, tau, times) for start in (initial, initial + 1e-11))
        distance = np.sqrt(np.square(one - other).reshape(35, -1).mean(1))
        taken.append(np.argmax(distance > 1e-2) - np.argmax(distance > 1e-9))
    assert np.mean(taken) == pytest.approx(16, rel=0.25)


def test_the_tables_have_a_value_for_each_delay() -> None:
    assert list(LYAPUNOV_TIMES) == list(INITIAL_VALUES) == list(range(17, 31))
