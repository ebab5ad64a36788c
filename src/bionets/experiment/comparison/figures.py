"""The figures of a comparison."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bionets.analysis.comparison import Curve, Marks, draw_bars, draw_curves, smoothed
from bionets.analysis.figures import by_length, covered_steps, labels_by_length, window_for
from bionets.analysis.names import label_of, name_of
from bionets.experiment.errors import UserError, did_you_mean

from .groups import Group, panel_title
from .runs import Run
from .statistics import Row

MOST_PANELS = 12  # of bars; more would be too small to read
CURVES = ("train/loss", "val/loss", "val/accuracy")  # the default, as far as runs have them


def draw(
    directory: Path, groups: Sequence[Group], rows: Sequence[Row], by: Sequence[str], curves: Sequence[str]
) -> list[Path]:
    """Draw bars of every metric in the table, for up to 12 panels, these learning curves, and accuracy by length if
    there are several lengths. Return the files.
    """
    files = [_bars(directory, rows, by)] if 0 < len({row.group.panel for row in rows}) <= MOST_PANELS else []
    for name in curves:
        found = _collect(groups, by, partial(_curve, name))
        file, label = directory / _stem(name), label_of(name)
        if name == "train/loss":
            window = window_for(min(len(ys) for of in found.values() for runs in of.values() for _, ys in runs))
            covered = {covered_steps(xs, window) for of in found.values() for runs in of.values() for xs, _ in runs}
            found = smoothed(found, window)
            label = f"training loss, mean over {' or '.join(map(str, sorted(covered)))} steps"
        marks = _marks(groups, by, f"{name}_step_")
        files.append(draw_curves(file, found, marks, x_label=label_of("step"), y_label=label, log="loss" in name))
    accuracies = _collect(groups, by, _accuracy_by_length)
    if accuracies:
        marks = _marks(groups, by, "test/accuracy_length_")
        file = directory / "accuracy_by_length"
        of_lengths = (run for group in groups for run in group.runs if _accuracy_by_length(run))
        x_label, y_label = labels_by_length(next(of_lengths).tests)
        files.append(draw_curves(file, accuracies, marks, x_label=x_label, y_label=y_label, unit=True))
    return files


def remove_earlier(directory: Path, files: Sequence[Path], runs: Sequence[Run]) -> list[Path]:
    """Remove the figures of an earlier comparison, under any name that `draw` gives to figures of these runs, that are
    not among the new files. Return the removed png files.
    """
    curves = dict.fromkeys((*CURVES, *(name for run in runs for name in run.curves())))
    every = [directory / f"{stem}.png" for stem in ("bars", *map(_stem, curves), "accuracy_by_length")]
    earlier = [file for file in every if file not in files and file.is_file()]
    for file in earlier:
        file.unlink()
        file.with_suffix(".svg").unlink(missing_ok=True)
    return earlier


def _stem(curve: str) -> str:
    """The name of the file of a curve, without its suffix."""
    return curve.replace("/", "_").replace("train_", "")


def _bars(directory: Path, rows: Sequence[Row], by: Sequence[str]) -> Path:
    metrics: dict[str, tuple[dict[str, dict[str, tuple[float, ...]]], dict[str, dict[str, float]]]] = {}
    for row in rows:
        ours, known = metrics.setdefault(row.metric, ({}, {}))
        panel = title_of_panel(row.group.panel, by)
        ours.setdefault(panel, {})[row.group.label] = row.values
        if row.published is not None:
            known.setdefault(panel, {})[row.group.label] = row.published
    return draw_bars(directory / "bars", metrics)


def chosen_curves(runs: Sequence[Run], wanted: Sequence[str] | None) -> list[str]:
    """The wanted curves, or those of `CURVES` that the runs have. Raises UserError for one that no run has."""
    there = list(dict.fromkeys(name for run in runs for name in run.curves()))
    if wanted is None:
        return [name for name in CURVES if name in there]
    for name in wanted:
        if name not in there:
            known = ", ".join(there) or "none"
            raise UserError(f"curves={name} was not measured: there are {known}{did_you_mean(name, there)}")
    return list(wanted)


def _collect(
    groups: Sequence[Group], by: Sequence[str], curve: Callable[[Run], Curve | None]
) -> dict[str, dict[str, list[Curve]]]:
    """The curves of the runs that have one, by panel and label."""
    found: dict[str, dict[str, list[Curve]]] = {}
    for group in groups:
        curves = [each for run in group.runs if (each := curve(run)) is not None]
        if curves:
            found.setdefault(title_of_panel(group.panel, by), {})[group.label] = curves
    return found


def _curve(name: str, run: Run) -> Curve | None:
    return run.curves().get(name)


def _accuracy_by_length(run: Run) -> Curve | None:
    lengths, accuracies = by_length(run.tests, "accuracy")
    return (lengths, accuracies) if len(lengths) > 1 else None


def _marks(groups: Sequence[Group], by: Sequence[str], prefix: str) -> Marks:
    """Published values of metrics with this prefix; the rest of the name is x."""
    marks: dict[str, dict[str, tuple[float, float]]] = {}
    for group in groups:
        for name, value in group.published.items():
            if name.startswith(prefix):
                point = (float(name.removeprefix(prefix)), value)
                marks.setdefault(title_of_panel(group.panel, by), {})[group.label] = point
    return marks


def title_of_panel(panel: Sequence[str], by: Sequence[str]) -> str:
    return name_of(panel_title(panel, by))
