"""The figures of a run: loss curves with their moving average, accuracy by length. Files, never windows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Series = Mapping[str, tuple[Sequence[int], Sequence[float]]]
Tests = Mapping[str, Mapping[str, float]]

WINDOW, SHORT_WINDOW = 100, 20  # steps in a moving average; the short one for runs of less than ten long windows
LENGTHS, EVERY_BIT_RIGHT = "length of both numbers together, in bits", "sequences with every bit right"


def draw_run(directory: Path, title: str, series: Series, tests: Tests) -> list[Path]:
    """All figures of one run, as png files in ``directory``: the losses, and accuracy by length where there are
    several lengths.
    """
    files = []
    if "train/loss" in series:
        figure, axes = new_figure()
        draw_losses(axes, series)
        files.append(save(figure, axes, directory / "loss", title))
    lengths, accuracies = by_length(tests, "accuracy")
    if len(lengths) > 1:
        figure, axes = new_figure()
        axes.plot(lengths, accuracies)
        label_accuracy_by_length(axes)
        files.append(save(figure, axes, directory / "accuracy_by_length", title))
    return files


def draw_losses(axes: Axes, series: Series) -> None:
    """Training loss of every step, its moving average, and the validation loss, on a logarithmic axis."""
    steps, losses = series["train/loss"]
    window = window_for(len(losses))
    axes.plot(steps, losses, color="0.8", linewidth=0.5, label="training loss, each step")
    axes.plot(
        steps[window - 1 :],
        moving_average(losses, window),
        color="C0",
        label=f"training loss, mean over {window} steps",
    )
    if "val/loss" in series:
        axes.plot(*series["val/loss"], color="C1", label="validation loss")
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend()


def label_accuracy_by_length(axes: Axes) -> None:
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel(LENGTHS)
    axes.set_ylabel(EVERY_BIT_RIGHT)


def by_length(tests: Tests, metric: str) -> tuple[list[int], list[float]]:
    """The test sets named ``length_<n>`` as (lengths, values of the metric)."""
    pairs = [
        (int(name.removeprefix("length_")), values[metric])
        for name, values in tests.items()
        if name.startswith("length_") and metric in values
    ]
    return [length for length, _ in pairs], [value for _, value in pairs]


def window_for(steps: int) -> int:
    window = WINDOW if steps >= 10 * WINDOW else SHORT_WINDOW
    return max(1, min(window, steps))


def moving_average(values: Sequence[float], window: int) -> Floats:
    """Means over ``window`` neighbours: ``len(values) - window + 1`` of them, the first at index ``window - 1``."""
    return np.convolve(np.asarray(values, dtype=np.float64), np.full(window, 1 / window), mode="valid")


def new_figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    return figure, figure.add_subplot()


def save(figure: Figure, axes: Axes, stem: Path, title: str) -> Path:
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    stem.parent.mkdir(parents=True, exist_ok=True)
    file = stem.with_suffix(".png")
    figure.savefig(file, dpi=150)
    return file
