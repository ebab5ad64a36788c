"""Confusion matrices: a figure and a table of how often each class is predicted for each class."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from bionets.analysis.names import plain_text
from bionets.analysis.style import new_figure, save, styled
from bionets.atomic import write_atomically
from bionets.csv_text import csv_text

LABELLED = 20  # number of classes up to which every cell has its number and every class its name
LONGEST_NAME = 16  # characters
UNSAFE = r"[^\w.-]+"  # characters of a target's name that cannot be in the name of a file


def draw_confusion_matrices(
    directory: Path, title: str, matrices: Mapping[str, tuple[Sequence[str], Tensor]], suffix: str = ""
) -> list[Path]:
    """Draw each matrix as png and svg and write it as csv, under its name and the suffix. Returns the png files.

    Args:
        directory: the folder of the files.
        title: the title of the figures, before what follows ``confusion_matrix_`` in their names.
        matrices: by name, the names of the K classes, and the number of samples ``[K, K]`` of each true class (rows)
            and predicted class (columns).
        suffix: the end of the names of the files.
    """
    files: list[Path] = []
    for name, (class_names, counts) in matrices.items():
        file = directory / f"{re.sub(UNSAFE, '_', name)}{suffix}.png"
        while file in files:  # of another target, whose name differs in other characters
            file = file.with_stem(f"{file.stem}_")
        of = plain_text(name.removeprefix("confusion_matrix").removeprefix("_"))  # a target or a test set
        files.append(draw_confusion_matrix(file, f"{title}: {of}" if of else title, class_names, counts.numpy()))
        rows = [[name, *row] for name, row in zip(class_names, counts.tolist(), strict=True)]
        write_atomically(file.with_suffix(".csv"), csv_text(["true class", *class_names], rows))
    return files


@styled
def draw_confusion_matrix(file: Path, title: str, class_names: Sequence[str], counts: NDArray[np.int64]) -> Path:
    """Draw a matrix: the colour of a cell is its share of the samples of the true class, its number the samples."""
    names = [shortened(name) for name in class_names]
    totals = counts.sum(1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    labelled = len(names) <= LABELLED
    side = max(3.5, 0.36 * len(names) + 1.5) if labelled else 5.0
    figure = new_figure(side, 0.86 * side + 0.3)
    axes = figure.add_subplot()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.spines[:].set_visible(True)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if labelled:
        upright = all(len(name) <= 3 for name in names)
        shown = [plain_text(name) for name in names]
        axes.set_xticks(range(len(names)), shown, rotation=0 if upright else 90)
        axes.set_yticks(range(len(names)), shown)
        write_counts(axes, counts, shares)
    figure.colorbar(picture, ax=axes, shrink=0.8, label="share of the true class")
    return save(figure, file, title)


def write_counts(axes: Axes, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """Write the number of samples in each cell that has any."""
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize="x-small")


def shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
