"""Integration of delay equations, against closed forms and small steps."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from bionets.tasks.mackey_glass import integrate


def test_a_linear_equation_agrees_with_its_closed_form() -> None:
    """x' = −x(t − 1), x = 1 before: x = Σ_k (−1)^k (t − k + 1)^k / k! over k ≤ t + 1."""
    times = np.linspace(0, 4, 101)
    exact = [sum((-1) ** k * (t - k + 1) ** k / math.factorial(k) for k in range(int(t) + 2)) for t in times]
    np.testing.assert_allclose(integrate(lambda x, delayed: -delayed, 1.0, 1, times), exact, atol=3e-8)


def test_an_equation_without_a_delayed_term_agrees_with_its_closed_form() -> None:
    times = np.array([0.0, 0.3, 1.0, 2.77])
    np.testing.assert_allclose(integrate(lambda x, delayed: -x, 2.0, 3, times), 2 * np.exp(-times), atol=3e-8)


def small_steps(
    rate: Callable[[float, float], float], initial: float, delay: int, end: int, per_unit: int
) -> list[float]:
    """The method of Heun in steps of which the delay is a multiple, so that nothing is interpolated."""
    lag, step = delay * per_unit, 1 / per_unit
    x = [initial] * (lag + 1)
    for k in range(end * per_unit):
        now = rate(x[-1], x[k])
        after = rate(x[-1] + step * now, x[k + 1])
        x.append(x[-1] + step / 2 * (now + after))
    return x[lag:]


@pytest.mark.parametrize("delay", [2, 17])
def test_a_nonlinear_equation_agrees_with_small_steps(delay: int) -> None:
    def rate(x: float, delayed: float) -> float:
        return 0.2 * delayed / (1 + delayed**10) - 0.1 * x

    naive = small_steps(rate, 0.72, delay, 80, 400)
    times = np.arange(0, 80, 0.25)
    np.testing.assert_allclose(integrate(rate, 0.72, delay, times), naive[:-1:100], atol=2e-6)
