"""The figure of many splits: for each presentation of the tasks, the accuracy on the own task and on others."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bionets.analysis.comparison import MEAN_WITH_ERROR
from bionets.analysis.names import name_of
from bionets.analysis.style import PAGE, legend_below, line_styles, new_figure, save, styled, text_colour

Bars = dict[str, dict[str, tuple[float, float]]]
"""quantity -> method -> (mean, standard error)"""
ROWS = {
    "retention": "accuracy kept\non the own task",
    "other, through its outputs": "accuracy left\non the other task",
    "silhouette": "silhouette of positions\nby task",
    "purity": "nearest neurons\nof the same task",
}
GOALS = {"retention": 0.95, "other, through its outputs": 0.2}


@styled
def draw_splits(stem: Path, panels: Mapping[str, Mapping[str, Bars]], methods: Sequence[str]) -> Path:
    """Draw a column for each presentation, with bars for each method and a colour for each group of runs: means with
    standard errors (0 for single runs). Dashed lines are the goals.

    Args:
        stem: path of the files, png and svg, without suffix.
        panels: presentation -> group of runs -> bars.
    """
    figure = new_figure(max(PAGE / 2, 2.4 * len(panels) + 0.6), 7.6)
    grid = figure.subplots(len(ROWS), len(panels), squeeze=False, sharey="row")
    colours = {
        label: style.colour for label, style in line_styles(label for g in panels.values() for label in g).items()
    }
    for column, (presentation, groups) in enumerate(panels.items()):
        for row, (quantity, name) in enumerate(ROWS.items()):
            axes = grid[row, column]
            width = 0.8 / max(1, len(groups))
            for k, (label, bars) in enumerate(groups.items()):
                means, errors = np.array([bars[quantity][method] for method in methods]).T
                places = np.arange(len(methods)) + (k - (len(groups) - 1) / 2) * width
                axes.bar(places, means, width, yerr=errors, color=colours[label], error_kw={"linewidth": 1})
            if quantity in GOALS:
                axes.axhline(GOALS[quantity], color=text_colour(), linestyle="--", linewidth=0.8)
            else:
                axes.axhline(0, color=text_colour(), linewidth=0.8)
            axes.set_xticks(range(len(methods)), methods if row == len(ROWS) - 1 else [], rotation=30, ha="right")
            if row == 0:
                axes.set_title(name_of(presentation))
            if column == 0:
                axes.set_ylabel(name)
    for axes, quantity in zip(grid[:, 0], ROWS, strict=True):
        if quantity in GOALS:  # a subnetwork may be more accurate than the whole network
            axes.set_ylim(0, max(1.05, axes.get_ylim()[1]))
    handles = [Patch(color=colour, label=label) for label, colour in colours.items()]
    goal = Line2D([], [], color=text_colour(), linestyle="--", linewidth=0.8, label="goal")
    legend_below(figure, [*handles, goal], columns=2)
    quantities = [each for groups in panels.values() for bars in groups.values() for each in bars.values()]
    errors = [error for of_methods in quantities for _, error in of_methods.values()]
    return save(figure, stem.with_name(f"{stem.name}.png"), MEAN_WITH_ERROR if any(errors) else "")
