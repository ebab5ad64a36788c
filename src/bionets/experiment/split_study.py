"""The splits of many runs, as one table and one figure: what is kept of each task, and what the others still know."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bionets.analysis.split_plots import Bars, draw_splits
from bionets.experiment.comparison.runs import read_folders
from bionets.experiment.comparison.statistics import standard_error
from bionets.experiment.csv_text import csv_text
from bionets.experiment.errors import UserError
from bionets.experiment.run_folder import write_atomically
from bionets.experiment.spatial_run import SpatialRun


class Group(NamedTuple):
    """What tells the groups of runs apart."""

    presentation: str
    proximity: float
    transport: float


class Row(NamedTuple):
    """One number of one group, after one method of splitting; the mean over ``n`` runs and its standard error."""

    group: Group
    method: str
    quantity: str
    n: int
    mean: float
    error: float | None


Numbers = dict[tuple[str, str], float]
"""(method, quantity) -> value, of one run"""


def study(
    console: Console, pattern: str, methods: Sequence[str], directory: Path, options: Mapping[str, Any]
) -> list[Path]:
    """Split all complete runs that a glob names, and write ``splits.csv``, ``splits.md`` and ``splits.png`` (and svg).

    Runs are grouped by presentation and by the weights of the costs.
    """
    runs, left_out = read_folders(pattern)
    for missing in left_out:
        console.print(
            f"note: left out, {missing.reason}: {missing.place}", highlight=False, markup=False, soft_wrap=True
        )
    measured: dict[Group, list[Numbers]] = {}
    names: tuple[str, ...] = ()
    for each in runs:
        run = SpatialRun(each.place, **options)
        if names and run.names != names:
            raise UserError(f"runs={pattern} holds runs on {names} and on {run.names}: compare them apart")
        names = run.names
        model = run.config["model"]
        group = Group(run.task.presentation, model["proximity"], model["transport"])
        measured.setdefault(group, []).append(measure(run, methods))
        console.print(f"split {each.place}", highlight=False, markup=False, soft_wrap=True)
    rows = summarise(measured)
    print_table(console, rows, names)
    directory.mkdir(parents=True, exist_ok=True)
    table = [[*row.group, row.method, row.quantity, row.n, row.mean, row.error] for row in rows]
    write_atomically(directory / "splits.csv", csv_text([*Group._fields, *Row._fields[1:]], table))
    header, lines = wide(rows, names)
    markdown = [header, ["---"] * len(header), *lines]
    write_atomically(directory / "splits.md", "".join(f"| {' | '.join(line)} |\n" for line in markdown))
    figure = draw_splits(directory / "splits", bars(rows), list(methods))
    return [directory / "splits.csv", directory / "splits.md", figure]


def measure(run: SpatialRun, methods: Sequence[str]) -> Numbers:
    """All numbers of one run."""
    numbers: Numbers = {}
    for name, accuracy in zip(run.names, run.accuracies, strict=True):
        numbers["", f"accuracy {name}"] = accuracy
    for method in methods:
        scores = run.scores(method)
        own = [each for each in scores if each.subnetwork == each.task]
        others = [each for each in scores if each.subnetwork != each.task]
        for each in own:
            numbers[method, f"retention {each.task}"] = each.retention
        numbers[method, "retention"] = fmean(each.retention for each in own)
        numbers[method, "other"] = fmean(each.accuracy for each in others)
        numbers[method, "other, through its outputs"] = fmean(each.through_outputs for each in others)
        numbers[method, "silhouette"] = run.cluster_score(method)
    return numbers


def summarise(measured: Mapping[Group, Sequence[Numbers]]) -> list[Row]:
    rows = []
    for group, runs in sorted(measured.items()):
        for method, quantity in runs[0]:
            values = [run[method, quantity] for run in runs]
            rows.append(Row(group, method, quantity, len(values), fmean(values), standard_error(values)))
    return rows


def wide(rows: Sequence[Row], names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """A header and a line for each group and method: mean ± standard error."""
    cells = {(row.group, row.method, row.quantity): text_of(row) for row in rows}
    whole = [f"accuracy {name}" for name in names]
    split = [*(f"retention {name}" for name in names), "other", "other, through its outputs", "silhouette"]
    keys = list(dict.fromkeys((row.group, row.method, row.n) for row in rows if row.method))
    lines = [
        [
            *(f"{value:g}" if isinstance(value, float) else str(value) for value in group),
            str(n),
            *(cells[group, "", quantity] for quantity in whole),
            method,
            *(cells[group, method, quantity] for quantity in split),
        ]
        for group, method, n in keys
    ]
    return [*Group._fields, "n", *whole, "split", *split], lines


def text_of(row: Row) -> str:
    return f"{row.mean:.3f}" if row.error is None else f"{row.mean:.3f} ± {row.error:.3f}"


def print_table(console: Console, rows: Sequence[Row], names: Sequence[str]) -> None:
    """A section for each group: its accuracy, and by method the retention and what the others know; all numbers are in
    the files.
    """
    cells = {(row.group, row.method, row.quantity): text_of(row) for row in rows}
    quantities = ("retention", "other, through its outputs", "silhouette")
    for group, n in dict.fromkeys((row.group, row.n) for row in rows):
        reached = ", ".join(f"{name} {cells[group, '', f'accuracy {name}']}" for name in names)
        console.print(f"{group.presentation}, {label_of(group)}, n = {n}: accuracy {reached}", highlight=False)
        table = Table("split", *quantities)
        for method in dict.fromkeys(row.method for row in rows if row.method):
            table.add_row(method, *(cells[group, method, quantity] for quantity in quantities))
        console.print(table)


def label_of(group: Group) -> str:
    if not (group.proximity or group.transport):
        return "without costs"
    return f"proximity {group.proximity:g}, transport {group.transport:g}"


def bars(rows: Sequence[Row]) -> dict[str, dict[str, Bars]]:
    """presentation -> with or without costs -> quantity -> method -> (mean, standard error), for the figure."""
    drawn: dict[str, dict[str, Bars]] = {}
    for row in rows:
        if row.method and row.quantity in ("retention", "other, through its outputs", "silhouette"):
            panel = drawn.setdefault(row.group.presentation, {}).setdefault(label_of(row.group), {})
            panel.setdefault(row.quantity, {})[row.method] = (row.mean, row.error or 0.0)
    return drawn
