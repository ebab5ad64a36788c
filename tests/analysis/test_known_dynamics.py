"""Lyapunov exponents of published systems, and a fixed point that another solver finds."""

from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor, nn

from bionets.analysis.dynamics import find_fixed_points, largest_lyapunov_exponent, state_map
from bionets.layers.spiking import SpikingLayer


class Henon(SpikingLayer):
    """The map of Hénon (1976): u' = 1 − 1.4 u² + v, v' = 0.3 u."""

    state_names = ("u", "v")

    @staticmethod
    def neuron(x: Tensor, state: Any, params: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        u = 1 - 1.4 * state.u**2 + state.v + x
        return u, (u, 0.3 * state.u)


class Lorenz(SpikingLayer):
    """The system of Lorenz (1963), σ = 10, ρ = 28, β = 8/3, in steps of 0.01 by the Runge-Kutta method of order 4."""

    state_names = ("u", "v", "w")

    @staticmethod
    def neuron(x: Tensor, state: Any, params: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        def rate(u: Tensor, v: Tensor, w: Tensor) -> tuple[Tensor, ...]:
            return 10 * (v - u), u * (28 - w) - v, u * v - 8 / 3 * w

        start = (state.u + x, state.v, state.w)
        slopes = [rate(*start)]
        for part in (0.005, 0.005, 0.01):
            slopes.append(rate(*(s + part * k for s, k in zip(start, slopes[-1], strict=True))))
        after = tuple(s + 0.01 / 6 * (a + 2 * b + 2 * c + d) for s, a, b, c, d in zip(start, *slopes, strict=True))
        return after[0], after


@pytest.mark.parametrize(
    ("kind", "start", "published", "time"), [(Henon, (0.1, 0.1), 0.419, 1.0), (Lorenz, (1.0, 1.0, 20.0), 0.906, 0.01)]
)
def test_lyapunov_exponents_of_henon_and_lorenz_are_the_published_ones(
    kind: type[SpikingLayer], start: tuple[float, ...], published: float, time: float
) -> None:
    """Sprott, Chaos and Time-Series Analysis (2003): 0.419 for a step of the map, 0.906 for a unit of time."""
    begin = torch.tensor([start], dtype=torch.float64)
    found = largest_lyapunov_exponent(state_map(kind(1)), torch.zeros(6000, 1), begin, discard=500)
    assert found / time == pytest.approx(published, rel=0.05)


def test_a_fixed_point_equals_that_of_scipy() -> None:
    torch.manual_seed(0)
    step, x = state_map(nn.GRU(2, 4)), torch.tensor([0.3, -0.5])

    def residual(state: Any) -> Any:
        s = torch.from_numpy(state).unsqueeze(0)
        return (step(s, x) - s)[0].numpy()

    (point,) = find_fixed_points(step, x, torch.zeros(1, 4))
    torch.testing.assert_close(point.state, torch.from_numpy(scipy.optimize.root(residual, np.zeros(4), tol=1e-12).x))
