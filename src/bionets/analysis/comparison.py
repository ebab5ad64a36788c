"""The figures of a comparison: curves with bands, and bars, with one panel for each comparison.

A comparison is ``panel title -> label -> one entry for each run``. A label has the same colour in all panels; published
values are hollow diamonds next to our values.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bionets.analysis.figures import moving_average, scale_losses
from bionets.analysis.names import label_of, name_of
from bionets.analysis.style import (
    COLUMN,
    LineStyle,
    legend_below,
    line_styles,
    marker_of,
    new_figure,
    save,
    styled,
    text_colour,
)

Curve = tuple[Sequence[float], Sequence[float]]
Curves = Mapping[str, Mapping[str, Sequence[Curve]]]
"""panel -> label -> (xs, ys) of each run"""
Values = Mapping[str, Mapping[str, Sequence[float]]]
"""panel -> label -> the value of each run"""
Marks = Mapping[str, Mapping[str, tuple[float, float]]]
"""panel -> label -> a published point (x, y)"""

MOST_COLUMNS = 3
PANEL_WIDTH = 2.5  # inches, if there are several
BAR_WIDTH = 0.55  # inches of a bar and its margin, if there is enough space
MOST_POINTS = 600  # of a curve; more points are not visible, and make the svg large
LINE = 24  # characters of a label beside the y axis of a panel
TITLE = 36  # characters of a line of the title of a panel
LONG_NAME = 10  # characters of a line below a bar; longer words are rotated
PUBLISHED: dict[str, Any] = {
    "marker": "D",
    "markerfacecolor": "none",
    "linestyle": "none",
    "zorder": 3,
    "clip_on": False,
}
MEAN_WITH_ERROR = "mean ± standard error"  # the title, unless each label has a single run
HATCHES = {"solid": "", "dashed": "///", "dotted": "...", "dashdot": "xxx"}  # bars of one colour


@styled
def draw_curves(
    stem: Path, curves: Curves, marks: Marks, *, x_label: str, y_label: str, log: bool = False, unit: bool = False
) -> Path:
    """Draw the mean curve of each label with a band of one standard error, as png and svg, and return the png. The y
    axis is logarithmic with ``log`` (see `scale_losses`), and from 0 to 1 with ``unit``.
    """
    chosen = line_styles(label for labels in curves.values() for label in labels)
    figure, panels = _panels(list(curves))
    values = [y for labels in curves.values() for runs in labels.values() for _, ys in runs for y in ys]
    handles: dict[str, Artist] = {}
    for axes, (panel, labels) in zip(panels, curves.items(), strict=False):
        for label, runs in labels.items():
            handles.setdefault(label, draw_band(axes, label, runs, chosen[label]))
        for label, (x, y) in marks.get(panel, {}).items():
            axes.plot([x], [y], color=chosen[label].colour if label in chosen else text_colour(), **PUBLISHED)
        if log:
            scale_losses(axes, values)
        if unit:
            axes.set_ylim(-0.02, 1.02)
        elif not any(values):
            axes.set_ylim(bottom=0)  # if all values are 0, it would begin below 0
        axes.set_xlabel(x_label)
    panels[0].set_ylabel("\n".join(wrap(y_label, LINE)))
    for label, handle in handles.items():
        if len({len(labels[label]) for labels in curves.values() if label in labels}) > 1:
            handle.set_label(name_of(label))
    published = [Line2D([], [], color=text_colour(), label="published", **PUBLISHED)] if any(marks.values()) else []
    legend_below(figure, [*handles.values(), *published])
    has_errors = any(axes.collections for axes in panels)
    return save(figure, _png(stem), MEAN_WITH_ERROR if has_errors else "")


@styled
def draw_bars(stem: Path, metrics: Mapping[str, tuple[Values, Mapping[str, Mapping[str, float]]]]) -> Path:
    """Draw panels for each metric, in rows that fit on a page: bars of the means with one standard error, a dot for
    each run, and published values (``metric -> (ours, panel -> label -> published)``).
    """
    widest = max(len(ours) for ours, _ in metrics.values())
    most = max(len(labels) for ours, _ in metrics.values() for labels in ours.values())
    width = min(max(COLUMN if widest == 1 else PANEL_WIDTH, BAR_WIDTH * most + 0.6), MOST_COLUMNS * PANEL_WIDTH)
    crowded = BAR_WIDTH * most > width
    columns = max(1, min(widest, int(MOST_COLUMNS * PANEL_WIDTH / width)))
    number = sum(math.ceil(len(ours) / columns) for ours, _ in metrics.values())
    every = [labels for ours, _ in metrics.values() for labels in ours.values()]
    lines = max(len(name) for labels in every for name in _names_below(labels, crowded))
    figure = new_figure(width * columns, (2.6 if crowded else 1.9 + 0.12 * max(0, lines - 2)) * number + 0.4)
    rows = iter(figure.subplots(number, columns, squeeze=False))
    chosen = line_styles(label for labels in every for label in labels)
    for metric, (ours, published) in metrics.items():
        panels = [axes for _ in range(math.ceil(len(ours) / columns)) for axes in next(rows)]
        for axes in panels[len(ours) :]:
            axes.set_axis_off()
        for axes in panels[1 : len(ours)]:
            axes.sharey(panels[0])
        for at, (axes, (panel, labels)) in enumerate(zip(panels, ours.items(), strict=False)):
            _bars(axes, labels, published.get(panel, {}), chosen, crowded)
            axes.set_xlim(-0.6, most - 0.4)  # the same width of bars in all panels
            axes.set_title("\n".join(wrap(panel, TITLE)))
            if at % columns:
                axes.tick_params(labelleft=False)
            else:
                axes.set_ylabel("\n".join(wrap(label_of(metric), LINE)))
        if all(value >= 0 for labels in ours.values() for values in labels.values() for value in values):
            panels[0].set_ylim(bottom=0)  # for all panels, after all are drawn
    handles = [Line2D([], [], color=text_colour(), marker=".", linestyle="none", label="one run")]
    if any(any(known.values()) for _, known in metrics.values()):
        handles.append(Line2D([], [], color=text_colour(), label="published", **PUBLISHED))
    legend_below(figure, handles)
    several = any(len(values) > 1 for labels in every for values in labels.values())
    return save(figure, _png(stem), MEAN_WITH_ERROR if several else "")


def _bars(
    axes: Axes,
    labels: Mapping[str, Sequence[float]],
    published: Mapping[str, float],
    styles: Mapping[str, LineStyle],
    crowded: bool,
) -> None:
    """Draw one panel: a bar for each label, with its name and number of runs below, vertical if ``crowded``."""
    small = rcParams["lines.markersize"] / 2
    for at, (label, values) in enumerate(labels.items()):
        error = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else None
        bar: dict[str, Any] = {"color": styles[label].colour, "ecolor": text_colour(), "capsize": 3, "width": 0.65}
        bar |= {"alpha": 0.7, "hatch": HATCHES[styles[label].dash], "edgecolor": rcParams["axes.facecolor"]}
        axes.bar(at, np.mean(values), yerr=error, **bar)
        spread = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else [0.0]
        axes.plot(at + np.asarray(spread), values, ".", color=text_colour(), markersize=small, clip_on=False)
        if label in published:
            axes.plot([at + 0.25], [published[label]], color=text_colour(), **PUBLISHED)
    names = _names_below(labels, crowded)
    too_long = max(len(line) for lines in names for line in lines) > LONG_NAME
    turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if too_long else {}
    turned |= {"rotation": 90, "ha": "center"} if crowded else {}
    between = ", " if crowded else "\n"
    below = [between.join([*name, f"n = {len(values)}"]) for name, values in zip(names, labels.values(), strict=True)]
    axes.set_xticks(range(len(labels)), below, **turned)


def _names_below(labels: Iterable[str], crowded: bool) -> list[list[str]]:
    """The lines of the name below each bar."""
    return [[name] if crowded else wrap(name, LONG_NAME) for name in short_names(labels)]


def short_names(labels: Iterable[str]) -> list[str]:
    """Labels for bars: long labels are written without their common first words."""
    labels = list(labels)
    if len(labels) < 2 or max(map(len, labels)) <= LONG_NAME:
        return [name_of(label) for label in labels]
    words = [label.split("-") for label in labels]
    shared = 0
    while all(len(each) > shared + 1 and each[shared] == words[0][shared] for each in words):
        shared += 1
    return [name_of("-".join(each[shared:])) for each in words]


def draw_band(axes: Axes, label: str, curves: Sequence[Curve], style: LineStyle | None = None) -> Line2D:
    """Draw the mean of several curves over their common x, with a band of one standard error, or at a single x a
    vertical line; if they have fewer than two common x and others, draw each curve. Returns a line for the legend.
    """
    style = style or line_styles([label])[label]
    how: dict[str, Any] = {"color": style.colour, "linestyle": style.dash}
    name = f"{name_of(label)} (n = {len(curves)})"
    by_x = [dict(zip(xs, ys, strict=True)) for xs, ys in curves]
    shared = sorted(set.intersection(*map(set, by_x)))
    if len(shared) < 2 and len(set.union(*map(set, by_x))) > len(shared):
        lines = [axes.plot(xs, ys, linewidth=0.6, marker=marker_of(xs), **how)[0] for xs, ys in curves]
        lines[0].set_label(f"{name}, each run")
        return lines[0]
    shared = shared[:: max(1, len(shared) // MOST_POINTS)]
    values = np.array([[curve[x] for x in shared] for curve in by_x], dtype=np.float64)
    mean = values.mean(0)
    (line,) = axes.plot(shared, mean, label=name, marker=marker_of(shared), **how)
    if len(curves) > 1:
        error = values.std(0, ddof=1) / np.sqrt(len(curves))
        if len(shared) == 1:  # where a band is not visible
            axes.vlines(shared, mean - error, mean + error, color=style.colour)
        else:
            axes.fill_between(shared, mean - error, mean + error, color=style.colour, alpha=0.25, linewidth=0)
    return line


def smoothed(curves: Curves, window: int) -> dict[str, dict[str, list[Curve]]]:
    """The moving averages of all curves."""
    return {
        panel: {
            label: [(xs[window - 1 :], moving_average(ys, window).tolist()) for xs, ys in runs]
            for label, runs in labels.items()
        }
        for panel, labels in curves.items()
    }


def _panels(titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    number = len(titles)
    columns = min(number, MOST_COLUMNS)
    rows = math.ceil(number / columns)
    figure = new_figure(COLUMN if number == 1 else PANEL_WIDTH * columns, 2.6 if number == 1 else 2.2 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    panels = [axes for row in grid for axes in row]
    for axes in panels[number:]:
        axes.set_axis_off()
    for axes, title in zip(panels, titles, strict=False):
        axes.set_title("\n".join(wrap(title, TITLE)))
    return figure, panels[:number]


def _png(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.png")
