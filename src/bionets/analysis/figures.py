"""The figures of a run: loss curves with their moving average, accuracy by length."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bionets.analysis.names import label_of
from bionets.analysis.style import grid_colour, legend_of, line_styles, marker_of, new_figure, save, styled, text_colour

Floats = NDArray[np.float64]
Series = Mapping[str, tuple[Sequence[int], Sequence[float]]]
Tests = Mapping[str, Mapping[str, float]]

WINDOW, SHORT_WINDOW = 100, 20  # steps in a moving average; the short one if a run has fewer than ten long windows
LENGTHS, EVERY_BIT_RIGHT = "length of both numbers together (bits)", "sequences with all bits right (share)"


@styled
def draw_run(directory: Path, title: str, series: Series, tests: Tests, model: str = "") -> list[Path]:
    """Draw all figures of one run, as png and svg in ``directory``: the losses, and accuracy by length if there are
    several lengths. The curves have the colour of the model. Returns the png files.
    """
    files, colour = [], line_styles([model])[model].colour if model else "C0"
    measured = {name: finite(*series[name]) for name in ("train/loss", "val/loss") if name in series}
    losses = {name: curve for name, curve in measured.items() if curve[0]}
    if any(len(steps) > 1 for steps, _ in losses.values()):
        figure = new_figure()
        draw_losses(figure.add_subplot(), losses, colour)
        files.append(save(figure, directory / "loss.png", title))
    lengths, accuracies = by_length(tests, "accuracy")
    if len(lengths) > 1:
        figure = new_figure()
        axes = figure.add_subplot()
        axes.plot(lengths, accuracies, marker="o", color=colour)
        axes.set_ylim(-0.02, 1.02)
        x_label, y_label = labels_by_length(tests)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        files.append(save(figure, directory / "accuracy_by_length.png", title))
    return files


def draw_losses(axes: Axes, series: Series, colour: str = "C0") -> None:
    """Draw the training loss of every step, its moving average, and the validation loss."""
    if "train/loss" in series:
        steps, losses = series["train/loss"]
        window = window_for(len(losses))
        covered = covered_steps(steps, window)
        axes.plot(
            steps, losses, color=grid_colour(), linewidth=0.5, label="training, each step", rasterized=len(steps) > 2000
        )
        mean = moving_average(losses, window)
        axes.plot(
            steps[window - 1 :],
            mean,
            color=colour,
            label=f"training, mean over {covered} steps",
            marker=marker_of(mean),
            markersize=3,
        )
    if "val/loss" in series:
        steps, losses = series["val/loss"]
        axes.plot(
            steps,
            losses,
            color=text_colour(),
            label="validation",
            marker="o" if len(steps) < 20 else None,
            markersize=3,
        )
    scale_losses(axes, [value for _, values in series.values() for value in values])
    axes.set_xlabel(label_of("step"))
    axes.set_ylabel("loss")
    legend_of(axes)


def scale_losses(axes: Axes, values: Sequence[float]) -> None:
    """Use a logarithmic axis if positive values span a factor of ten; below that, it would have few labels."""
    if min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")


@styled
def draw_learning_rates(file: Path, title: str, rates: Floats, losses: Floats, chosen: float) -> Path:
    """Draw the training loss against the learning rate in a search for the rate, and mark the chosen rate."""
    figure = new_figure()
    axes = figure.add_subplot()
    axes.plot(rates, losses, label="training, smoothed")
    axes.axvline(chosen, color=text_colour(), linestyle="dashed", label=f"suggested, {chosen:.2g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    legend_of(axes)
    return save(figure, file, title)


def finite(xs: Sequence[int], ys: Sequence[float]) -> tuple[list[int], list[float]]:
    """The points of a curve with finite values."""
    kept = [(x, y) for x, y in zip(xs, ys, strict=True) if np.isfinite(y)]
    return [x for x, _ in kept], [y for _, y in kept]


def by_length(tests: Tests, metric: str) -> tuple[list[int], list[float]]:
    """The test sets named ``length_<n>``, a whole number, as (lengths, values of the metric), in ascending order."""
    found = ((re.fullmatch(r"length_(\d+)", name), values) for name, values in tests.items())
    pairs = sorted((int(length[1]), values[metric]) for length, values in found if length and metric in values)
    return [length for length, _ in pairs], [value for _, value in pairs]


def labels_by_length(tests: Tests) -> tuple[str, str]:
    """The labels of both axes for accuracy by length: those of binary addition, or in other tasks plain ones."""
    adds = any("bit_accuracy" in values for values in tests.values())
    return (LENGTHS, EVERY_BIT_RIGHT) if adds else ("length", "test accuracy")


def window_for(steps: int) -> int:
    window = WINDOW if steps >= 10 * WINDOW else SHORT_WINDOW
    return max(1, min(window, steps))


def covered_steps(steps: Sequence[float], window: int) -> int:
    """The number of training steps in a window of values, which are trainer.log_every_n_steps apart."""
    return window * max(1, round(steps[1] - steps[0])) if len(steps) > 1 else window


def moving_average(values: Sequence[float], window: int) -> Floats:
    """Means over ``window`` neighbours: ``len(values) - window + 1`` of them, the first at index ``window - 1``."""
    return np.convolve(np.asarray(values, dtype=np.float64), np.full(window, 1 / window), mode="valid")
