"""Integration of a delay differential equation."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

STEPS_PER_UNIT = 20


def integrate(
    rate: Callable[[float, float], float], initial: float, delay: int, times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solve dx/dt = rate(x(t), x(t − delay)) with x = ``initial`` for t ≤ 0, and return x at the ``times``.

    The method is the classical Runge-Kutta method of order 4 with `STEPS_PER_UNIT` steps per unit of time; the delay is
    a multiple of the step. Values between steps are cubic Hermite interpolants, also of order 4. All numbers are Python
    floats, computed in a fixed order. They are therefore the same on every machine if ``rate`` consists of sums,
    products and quotients.

    Args:
        rate: returns dx/dt for x(t) and x(t − delay).
        initial: x for t ≤ 0.
        delay: at least 1.
        times: at least 0.
    """
    step, lag = 1 / STEPS_PER_UNIT, delay * STEPS_PER_UNIT
    count = int(times.max() * STEPS_PER_UNIT) + 1
    values, middles = [initial] * (lag + 1), [initial] * lag  # from t = −delay, at the steps and halfway between them
    slopes = [rate(initial, initial)]
    for k in range(count):
        x, before, between, after = values[-1], values[k], middles[k], values[k + 1]
        first = rate(x, before)
        second = rate(x + step / 2 * first, between)
        third = rate(x + step / 2 * second, between)
        fourth = rate(x + step * third, after)
        new = x + step / 6 * (first + 2 * second + 2 * third + fourth)
        slope = rate(new, after)
        middles.append((x + new) / 2 + step / 8 * (first - slope))
        values.append(new)
        slopes.append(slope)
    found, change = np.array(values[lag:]), np.array(slopes) * step
    place = np.minimum(np.floor(times * STEPS_PER_UNIT).astype(int), count - 1)
    s = times * STEPS_PER_UNIT - place
    left = (1 + 2 * s) * found[place] + s * change[place]
    right = (3 - 2 * s) * found[place + 1] + (s - 1) * change[place + 1]
    return (1 - s) ** 2 * left + s**2 * right
