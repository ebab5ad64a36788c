"""Run folders side by side: a table of means with standard errors, and the curves behind it."""

import csv
import glob
import io
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from bionets.analysis.figures import draw_comparison
from bionets.experiment.errors import UserError
from bionets.experiment.metrics_file import read_metrics
from bionets.experiment.published import published
from bionets.experiment.run_folder import RunFolder, write_atomically


@dataclass(frozen=True)
class Run:
    """A complete run, as its folder tells it."""

    folder: RunFolder
    config: dict[str, Any]
    result: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One metric of one group of runs. ``error`` is the standard error of the mean, None for a single run."""

    group: str
    metric: str
    n: int
    mean: float
    error: float | None
    lowest: float
    highest: float
    published: float | None


def compare(hydra_config: DictConfig) -> list[Row]:
    """Group the complete runs under ``runs`` by a config key, print mean ± standard error, and draw the curves.

    Writes ``table.csv``, ``table.md`` and the figures to ``output_dir``. Runs that failed or have not ended are named
    and left out.
    """
    console = Console()
    runs, unfinished = find(hydra_config.runs)
    groups = grouped(runs, hydra_config.by)
    rows = [row for label, members in groups.items() for row in summarise(label, members)]
    directory = Path(hydra_config.output_dir)
    directory.mkdir(parents=True, exist_ok=True)
    print_table(console, rows, hydra_config.by)
    write_atomically(directory / "table.csv", as_csv(rows, hydra_config.by))
    write_atomically(directory / "table.md", as_markdown(rows, hydra_config.by))
    for label, members in groups.items():
        seeds = sorted(member.config["seed"] for member in members)
        if len(set(seeds)) < len(seeds):
            console.print(
                f"note: {label} holds several runs of one seed: "
                f"group by more keys, as in by={hydra_config.by},model.num_layers",
                markup=False,
            )
    if len({tuple(sorted(member.config["seed"] for member in members)) for members in groups.values()}) > 1:
        console.print("note: the groups do not have the same seeds")
    for folder, status in unfinished:
        console.print(f"note: left out, {status}: {folder.path}", highlight=False, markup=False, soft_wrap=True)
    losses = {label: [read_metrics(run.folder.metrics_file) for run in members] for label, members in groups.items()}
    tests = {label: [run.result["tests"] for run in members] for label, members in groups.items()}
    for file in draw_comparison(directory, losses, tests):
        console.print(f"figure {file}", highlight=False, soft_wrap=True)
    return rows


def find(pattern: str) -> tuple[list[Run], list[tuple[RunFolder, str]]]:
    """All runs in or below the folders that a glob names: the complete ones, and the others with their status."""
    places = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - pathlib globs only below a given folder
    folders = sorted({file.parent for place in places for file in Path(place).rglob("config.yaml")})
    if not folders:
        raise UserError(f"no run's folder in runs={pattern}: name a folder that train.py made, or one above it")
    complete, unfinished = [], []
    for folder in map(RunFolder, folders):
        result = folder.result()
        if result is None:
            unfinished.append((folder, "not ended"))
        elif result["status"] != "complete":
            unfinished.append((folder, f"{result['status']} ({result['error']})"))
        else:
            complete.append(Run(folder, folder.config(), result))
    if not complete:
        raise UserError(
            f"no complete run in runs={pattern}: {len(unfinished)} failed or have not ended; "
            "start them again with the same command"
        )
    return complete, unfinished


def grouped(runs: Iterable[Run], by: str) -> dict[str, list[Run]]:
    """Runs by the values of one or more config keys, separated by commas; ``model`` and ``task`` mean their names."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        label = ", ".join(str(value_of(run.config, key.strip())) for key in by.split(","))
        groups.setdefault(label, []).append(run)
    return groups


def value_of(config: dict[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UserError(
                f"by={key} is not a key of a run's config.yaml: try by=model, by=task or by=model.num_layers"
            )
        value = value[part]
    return value["name"] if isinstance(value, dict) and "name" in value else value


def summarise(label: str, members: Sequence[Run]) -> list[Row]:
    metrics = {metric: None for member in members for metric in member.result["metrics"]}
    rows = []
    for metric in metrics:
        values = [member.result["metrics"][metric] for member in members if metric in member.result["metrics"]]
        known = {
            run_published[metric].value for member in members if metric in (run_published := published(member.config))
        }
        mean, error = mean_and_error(values)
        rows.append(
            Row(
                label,
                metric,
                len(values),
                mean,
                error,
                min(values),
                max(values),
                known.pop() if len(known) == 1 else None,
            )
        )
    return rows


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and its standard error s/√n, None for one value."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return statistics.fmean(values), error


def print_table(console: Console, rows: Sequence[Row], by: str) -> None:
    table = Table(by, "metric", "n", "mean ± standard error", "published")
    previous = None
    for row in rows:
        if previous not in (None, row.group):
            table.add_section()
        previous = row.group
        error = "" if row.error is None else f" ± {row.error:.2g}"
        known = "" if row.published is None else f"{row.published:g}"
        table.add_row(row.group, row.metric, str(row.n), f"{row.mean:.4g}{error}", known)
    console.print(table)


def header(by: str) -> list[str]:
    return [by, "metric", "n", "mean", "standard error", "lowest", "highest", "published"]


def as_csv(rows: Sequence[Row], by: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header(by))
    for row in rows:
        writer.writerow([row.group, row.metric, row.n, row.mean, row.error, row.lowest, row.highest, row.published])
    return text.getvalue()


def as_markdown(rows: Sequence[Row], by: str) -> str:
    def cells(row: Row) -> list[str]:
        numbers = (row.mean, row.error, row.lowest, row.highest, row.published)
        return [row.group, row.metric, str(row.n), *("" if number is None else f"{number:.4g}" for number in numbers)]

    lines = [header(by), ["---"] * len(header(by)), *map(cells, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
