"""The figures of a comparison: curves with bands, and bars, a panel for each way of comparing. Files, never windows.

A comparison is ``panel title -> label -> one entry for each run``; a label has one colour in all panels, and the
published figures stand beside ours as hollow diamonds.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .figures import moving_average

Curve = tuple[Sequence[float], Sequence[float]]
Curves = Mapping[str, Mapping[str, Sequence[Curve]]]
"""panel -> label -> (xs, ys) of each run"""
Values = Mapping[str, Mapping[str, Sequence[float]]]
"""panel -> label -> the value of each run"""
Marks = Mapping[str, Mapping[str, tuple[float, float]]]
"""panel -> label -> a published point (x, y)"""

FORMATS = ("png", "svg")
MOST_COLUMNS = 3
MOST_POINTS = 600  # of a curve; more are not seen, and make an svg of megabytes
PUBLISHED: dict[str, Any] = {"marker": "D", "markersize": 6, "markerfacecolor": "white", "linestyle": "none"}


def draw_curves(
    stem: Path, curves: Curves, marks: Marks, *, x_label: str, y_label: str, log: bool = False, unit: bool = False
) -> Path:
    """The mean of each label's curves in a band of one standard error; returns the first file. ``log`` and ``unit``
    (from 0 to 1) say what the y axis is.
    """
    colours = _colours(curves)
    figure, panels = _panels(list(curves), len(curves))
    for axes, (panel, labels) in zip(panels, curves.items(), strict=False):
        for label, runs in labels.items():
            draw_band(axes, label, runs, colours[label])
        for label, (x, y) in marks.get(panel, {}).items():
            axes.plot([x], [y], color=colours.get(label, "black"), zorder=3, **PUBLISHED)
        if log and any(np.size(line.get_xdata()) for line in axes.lines):  # runs may have no step in common
            axes.set_yscale("log")
        if unit:
            axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel(x_label)
        handles, _ = axes.get_legend_handles_labels()
        if marks.get(panel):
            handles.append(Line2D([], [], color="black", label="published", **PUBLISHED))
        axes.legend(handles=handles, fontsize="small")
    panels[0].set_ylabel(y_label)
    return _save(figure, stem)


def draw_bars(stem: Path, metrics: Mapping[str, tuple[Values, Mapping[str, Mapping[str, float]]]]) -> Path:
    """A row of panels for each metric: bars of the means with one standard error, a dot for each run, and published
    values (``metric -> (ours, panel -> label -> published)``).
    """
    widest = max(len(ours) for ours, _ in metrics.values())
    figure = Figure(figsize=(4.6 * widest + 0.6, 3.2 * len(metrics)), layout="constrained")
    rows = figure.subplots(len(metrics), widest, squeeze=False, sharey="row")
    for row, (metric, (ours, published)) in zip(rows, metrics.items(), strict=True):
        colours = _colours(ours)
        for axes in row[len(ours) :]:
            axes.set_axis_off()
        for axes, (panel, labels) in zip(row, ours.items(), strict=False):
            for at, (label, values) in enumerate(labels.items()):
                error = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else None
                axes.bar(at, np.mean(values), yerr=error, color=colours[label], alpha=0.7, capsize=4, width=0.65)
                spread = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else [0.0]
                axes.plot(at + np.asarray(spread), values, ".", color="0.2", markersize=4)
                if label in published.get(panel, {}):
                    axes.plot([at + 0.25], [published[panel][label]], color="black", zorder=3, **PUBLISHED)
            axes.set_xticks(range(len(labels)), [f"{label}\nn = {len(values)}" for label, values in labels.items()])
            axes.set_title(panel)
        row[0].set_ylabel(metric)
    marks = ", ◇ published" if any(any(known.values()) for _, known in metrics.values()) else ""
    return _save(figure, stem, f"mean ± standard error, a dot for each run{marks}")


def draw_band(axes: Axes, label: str, curves: Sequence[Curve], colour: str | None = None) -> None:
    """The mean of several curves over the x that all of them have, and a band of one standard error around it."""
    by_x = [dict(zip(xs, ys, strict=True)) for xs, ys in curves]
    shared = sorted(set.intersection(*map(set, by_x)))
    shared = shared[:: max(1, len(shared) // MOST_POINTS)]
    values = np.array([[curve[x] for x in shared] for curve in by_x], dtype=np.float64)
    mean = values.mean(0)
    (line,) = axes.plot(shared, mean, label=f"{label} (n = {len(curves)})", color=colour)
    if len(curves) > 1:
        error = values.std(0, ddof=1) / np.sqrt(len(curves))
        axes.fill_between(shared, mean - error, mean + error, color=line.get_color(), alpha=0.25, linewidth=0)


def smoothed(curves: Curves, window: int) -> dict[str, dict[str, list[Curve]]]:
    """Every curve as its moving average."""
    return {
        panel: {
            label: [(xs[window - 1 :], moving_average(ys, window).tolist()) for xs, ys in runs]
            for label, runs in labels.items()
        }
        for panel, labels in curves.items()
    }


def _colours(panels: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    labels = dict.fromkeys(label for each in panels.values() for label in each)
    return {label: f"C{index % 10}" for index, label in enumerate(labels)}


def _panels(titles: Sequence[str], number: int) -> tuple[Figure, list[Axes]]:
    columns = min(number, MOST_COLUMNS)
    rows = math.ceil(number / columns)
    size = (7.0, 4.2) if number == 1 else (4.6 * columns + 0.4, 3.8 * rows)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    panels = [axes for row in grid for axes in row]
    for axes in panels[number:]:
        axes.set_axis_off()
    for axes, title in zip(panels, titles, strict=False):
        axes.set_title(title)
    return figure, panels


def _save(figure: Figure, stem: Path, title: str = "mean ± standard error") -> Path:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize="medium", color="0.4")
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = [stem.with_suffix(f".{kind}") for kind in FORMATS]
    for file in files:
        figure.savefig(file, dpi=150)
    return files[0]
