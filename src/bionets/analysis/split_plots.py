"""The figure of many splits: for each way of presenting the tasks, what a split keeps and what it lets through."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

__all__ = ["Bars", "draw_splits"]

Bars = dict[str, dict[str, tuple[float, float]]]
"""quantity -> method -> (mean, standard error)"""
ROWS = {
    "retention": "accuracy kept\non the own task",
    "other, through its outputs": "accuracy left\non the other task",
    "silhouette": "silhouette of positions\nby task",
}
GOALS = {"retention": 0.95, "other, through its outputs": 0.2}


def draw_splits(stem: Path, panels: Mapping[str, Mapping[str, Bars]], methods: Sequence[str]) -> Path:
    """A column for each presentation; bars for each method, a colour for each group of runs. Dashed: the goals.

    Args:
        stem: of the files, written as png and svg.
        panels: presentation -> group of runs -> bars.
    """
    figure = Figure(figsize=(3.2 * len(panels) + 1, 7.2), layout="constrained")
    grid = figure.subplots(len(ROWS), len(panels), squeeze=False, sharey="row")
    labels = list(dict.fromkeys(label for groups in panels.values() for label in groups))
    for column, (presentation, groups) in enumerate(panels.items()):
        for row, (quantity, name) in enumerate(ROWS.items()):
            axes = grid[row, column]
            width = 0.8 / max(1, len(groups))
            for k, (label, bars) in enumerate(groups.items()):
                means, errors = np.array([bars[quantity][method] for method in methods]).T
                places = np.arange(len(methods)) + (k - (len(groups) - 1) / 2) * width
                axes.bar(places, means, width, yerr=errors, color=f"C{labels.index(label)}", error_kw={"linewidth": 1})
            if quantity in GOALS:
                axes.axhline(GOALS[quantity], color="0.4", linestyle="--", linewidth=0.8)
                axes.set_ylim(0, 1.05)
            else:
                axes.axhline(0, color="0.4", linewidth=0.8)
            axes.set_xticks(range(len(methods)), methods if row == len(ROWS) - 1 else [], rotation=30, ha="right")
            axes.spines[["top", "right"]].set_visible(False)
            if row == 0:
                axes.set_title(presentation)
            if column == 0:
                axes.set_ylabel(name)
    handles = [grid[0, 0].bar([0], [0], color=f"C{k}", label=label) for k, label in enumerate(labels)]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    stem.parent.mkdir(parents=True, exist_ok=True)
    for kind in ("svg", "png"):
        figure.savefig(stem.with_suffix(f".{kind}"), dpi=150)
    return stem.with_suffix(".png")
