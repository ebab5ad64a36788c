"""Figures of the dynamics of a recurrent layer."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from bionets.analysis.dynamics import FixedPoint
from bionets.analysis.style import grid_colour, legend_of, marker_of


def draw_bistable_share(axes: Axes, shares: Mapping[str, Tensor]) -> None:
    """Draw the share of bistable units over time, with one curve for each name."""
    for name, share in shares.items():
        axes.plot(range(1, len(share) + 1), share, label=name, marker=marker_of(share))
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("time step")
    axes.set_ylabel("share of bistable units (a > 1)")
    legend_of(axes)


def draw_bifurcation(axes: Axes, points: Sequence[tuple[float, float, bool]], label: str) -> None:
    """Draw fixed points: stable ones filled, unstable ones open."""
    for stable, name in ((True, "stable"), (False, "unstable")):
        chosen = [(factor, value) for factor, value, is_stable in points if is_stable == stable]
        if chosen:
            face = "C0" if stable else "none"
            factors, values = zip(*chosen, strict=True)
            axes.scatter(factors, values, s=10, facecolors=face, edgecolors="C0", label=name)
    axes.set_xlabel("input")
    axes.set_ylabel(label)
    legend_of(axes)


def draw_hysteresis(axes: Axes, factors: Tensor, up: Tensor, down: Tensor, label: str) -> None:
    """Draw one element of the state under a slow ramp of the input, up and down, each `[steps]`."""
    axes.plot(factors, up, color="C0", label="rising input")
    axes.plot(factors, down, color="C1", linestyle="dashed", label="falling input")
    axes.set_xlabel("input")
    axes.set_ylabel(label)
    legend_of(axes)


def draw_half_lives(axes: Axes, half_lives: Tensor, horizon: int) -> None:
    """Draw a histogram of memory half-lives; the last bar is for half-lives beyond the horizon."""
    edges = np.unique(np.geomspace(1, horizon, 25).round())
    finite = half_lives[half_lives.isfinite()].numpy()
    axes.hist(finite, bins=edges, color="C0")  # type: ignore[arg-type]
    beyond = int((~half_lives.isfinite()).sum())
    if beyond:
        axes.bar(edges[-1] * 1.3, beyond, width=edges[-1] * 0.4, color="C1", label=f"longer than {horizon} steps")
        legend_of(axes)
    axes.set_xscale("log")
    axes.set_xlabel("memory half-life (time steps)")
    axes.set_ylabel("number of units")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def draw_fixed_points(axes: Axes, visited: Tensor, points: Sequence[FixedPoint]) -> None:
    """Draw visited states `[K, N]` and fixed points on the first two principal components of the visited states."""
    mean = visited.mean(0)
    _, _, components = torch.linalg.svd(visited - mean, full_matrices=False)
    plane = components[:2].mT if components.size(0) > 1 else torch.cat((components.mT, 0 * components.mT), 1)
    first, second = ((visited - mean) @ plane).T
    axes.scatter(first, second, s=3, color=grid_colour(), rasterized=True, label="visited states")
    for stable, name in ((True, "stable fixed points"), (False, "unstable fixed points")):
        chosen = [point.state for point in points if point.stable == stable]
        if chosen:
            face = "C0" if stable else "none"
            first, second = ((torch.stack(chosen) - mean) @ plane).T
            axes.scatter(first, second, s=40, facecolors=face, edgecolors="C0", label=name)
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    legend_of(axes)
