"""The splits of many runs, as a table and a figure: the accuracy of subnetworks on their task and on other tasks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from bionets.analysis.split_plots import GOALS, Bars, draw_splits
from bionets.atomic import write_atomically
from bionets.csv_text import csv_text
from bionets.experiment.comparison.groups import grouped, notes
from bionets.experiment.comparison.runs import LeftOut, read_folders
from bionets.experiment.comparison.tables import markdown_table
from bionets.experiment.console import print_line, print_wide, printable_line
from bionets.experiment.errors import UserError
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import using
from bionets.studies.spatial.spatial_run import SpatialRun, require_tasks_to_split
from bionets.studies.spatial.split_choice import Choice, choose_settings
from bionets.studies.spatial.split_numbers import ACCURACY, READ, RETENTION, Group, Numbers, Row, measure_run, summarise

PRESENTATION = "task.presentation"
COSTS = ("proximity", "transport")
PLACES = ("silhouette", "purity", "purity by chance")


def study(
    pattern: str, methods: Sequence[str], by: Sequence[str], directory: Path, options: Mapping[str, Any]
) -> list[Path]:
    """Split all complete runs that match a glob, and write ``splits.csv``, ``splits.md`` and ``splits.png`` (and svg).
    A run that cannot be split, as without its checkpoint, is left out with a note.

    Runs are grouped by presentation and by the config keys in ``by``. With validation images, ``choice.csv`` also gives
    the best of these settings for the first method; see `choose_settings`.
    """
    runs, left_out = read_folders(pattern)
    if not runs:
        raise UserError(f"no complete run in runs={pattern}: {len(left_out)} left out, {left_out[0].reason}")
    for each in runs:
        with using(folder := RunFolder(each.place)):
            require_tasks_to_split(folder, each.config, options["trust"])
    keys = [*(key for key in by if key != PRESENTATION), PRESENTATION]
    groups = sorted(grouped(runs, keys), key=lambda group: group.values[-1])
    for note in [*notes(groups, keys), *map(str, left_out)]:
        print_line(f"note: {note}")
    measured: dict[Group, list[Numbers]] = {}
    names: tuple[str, ...] = ()
    for group in groups:
        for each in group.runs:
            try:
                with using(RunFolder(each.place)):
                    run = SpatialRun(each.place, **options)
                    numbers = measure_run(run, methods)
            except UserError as error:
                print_line(f"note: {LeftOut(each.place, printable_line(error))}")
                continue
            if names and run.names != names:
                raise UserError(f"runs={pattern} holds runs on {names} and on {run.names}: compare them separately")
            names = run.names
            measured.setdefault(Group(group.values[-1], group.values[:-1]), []).append(numbers)
            print_line(f"split {each.place}")
    if not measured:
        raise UserError(f"no run in runs={pattern} can be split, see the notes")
    rows = summarise(measured)
    settings = [key.rpartition(".")[2] for key in keys[:-1]]
    print_table(rows, names, settings)

    directory.mkdir(parents=True, exist_ok=True)
    table = [[row.group.presentation, *row.group.setting, *row[1:]] for row in rows]
    header = ["presentation", *settings]
    write_atomically(directory / "splits.csv", csv_text([*header, *Row._fields[1:]], table))
    columns, lines = wide(rows, names, header)
    write_atomically(directory / "splits.md", markdown_table(columns, lines))
    figure = draw_splits(directory / "splits", bars(rows, settings), list(methods))
    files = [directory / "splits.csv", directory / "splits.md", figure]
    if options["data"] == "val":
        choices = choose_settings(rows, methods[0])
        print_choices(choices, settings, methods[0])
        table = [[each.presentation, *each.setting, *each[2:], each.parts] for each in choices]
        write_atomically(directory / "choice.csv", csv_text([*header, *Choice._fields[2:], "parts"], table))
        files.append(directory / "choice.csv")
    return files


def wide(rows: Sequence[Row], names: Sequence[str], header: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """A header and a line for each group and method: mean ± standard error."""
    cells = {(row.group, row.method, row.quantity): text_of(row) for row in rows}
    whole = [f"{ACCURACY} {name}" for name in names]
    split = [*(f"{RETENTION} {name}" for name in names), "other", READ, *PLACES]
    keys = list(dict.fromkeys((row.group, row.method, row.n) for row in rows if row.method))
    lines = [
        [
            group.presentation,
            *map(short, group.setting),
            str(n),
            *(cells[group, "", quantity] for quantity in whole),
            method,
            *(cells[group, method, quantity] for quantity in split),
        ]
        for group, method, n in keys
    ]
    return [*header, "n", *whole, "split", *split], lines


def text_of(row: Row) -> str:
    return f"{row.mean:.3f}" if row.error is None else f"{row.mean:.3f} ± {row.error:.3f}"


def print_table(rows: Sequence[Row], names: Sequence[str], settings: Sequence[str]) -> None:
    """Print a section for each group: its accuracy and, for each method, the retention and the accuracy on other tasks.
    The files have all numbers.
    """
    cells = {(row.group, row.method, row.quantity): text_of(row) for row in rows}
    quantities = (RETENTION, READ, *PLACES)
    for group, n in dict.fromkeys((row.group, row.n) for row in rows):
        reached = ", ".join(f"{name} {cells[group, '', f'{ACCURACY} {name}']}" for name in names)
        label = setting_label(group.setting, settings)
        print_line(f"{group.presentation}, {label}, n = {n}: accuracy {reached}")
        table = Table("split", *quantities)
        for method in dict.fromkeys(row.method for row in rows if row.method):
            table.add_row(method, *(cells[group, method, quantity] for quantity in quantities))
        print_wide(table)


def print_choices(choices: Sequence[Choice], settings: Sequence[str], method: str) -> None:
    print_line(
        f"chosen: the highest accuracy among the settings under which the split by {method} keeps "
        f"{GOALS[RETENTION]:.0%} of each task, and lets {GOALS[READ]:.0%} of the others be read at most, in every run",
    )
    table = Table("presentation", *settings, "accuracy", "lowest retention", "highest read")
    for each in choices:
        read = f"{each.read:.3f}" if each.parts else f"{each.read:.3f} (no setting reaches it: keeps most)"
        table.add_row(each.presentation, *map(short, each.setting), f"{each.accuracy:.4f}", f"{each.kept:.3f}", read)
    print_wide(table)


def setting_label(setting: Sequence[str], names: Sequence[str]) -> str:
    """The label of a setting, such as ``proximity 10, transport 30``.

    If it has the weights of both costs, a weight of 0 is left out, and two weights of 0 are ``without costs``.
    """
    values = list(zip(names, map(short, setting), strict=True))
    weights = [value for name, value in values if name in COSTS]
    zeros = COSTS if len(weights) == len(COSTS) else ()
    shown = [f"{name} {value}" for name, value in values if not (name in zeros and value == "0")]
    return ", ".join([*shown, *(["without costs"] if weights == ["0", "0"] else [])]) or "all runs"


def short(value: str) -> str:
    return value.removesuffix(".0")


def bars(rows: Sequence[Row], settings: Sequence[str]) -> dict[str, dict[str, Bars]]:
    """presentation -> setting -> quantity -> method -> (mean, standard error), for the figure."""
    drawn: dict[str, dict[str, Bars]] = {}
    for row in rows:
        if row.method and row.quantity in (RETENTION, READ, "silhouette", "purity"):
            label = setting_label(row.group.setting, settings)
            panel = drawn.setdefault(row.group.presentation, {}).setdefault(label, {})
            panel.setdefault(row.quantity, {})[row.method] = (row.mean, row.error or 0.0)
    return drawn
