"""Comparison of runs: a table of means with standard errors, and figures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bionets.analysis.style import STYLES, use_style
from bionets.atomic import write_atomically
from bionets.experiment.command_line import refuse_without_effect
from bionets.experiment.comparison.figures import chosen_curves, draw, remove_earlier
from bionets.experiment.comparison.groups import grouped, notes
from bionets.experiment.comparison.leaderboard import leaderboard, leaderboard_notes
from bionets.experiment.comparison.runs import (
    LeftOut,
    Run,
    abbreviated,
    changes,
    matching,
    read_folders,
    readable,
    require_mapping,
)
from bionets.experiment.comparison.statistics import Row, summarise, too_few_runs
from bionets.experiment.comparison.tables import as_csv, as_latex, as_markdown, print_table
from bionets.experiment.console import print_line, printable_line
from bionets.experiment.errors import UserError, did_you_mean
from bionets.experiment.logging.wandb_report import require_report, write_report
from bionets.experiment.logging.wandb_runs import read_project
from bionets.experiment.logging.wandb_sync import sync

TABLES = ("by", "metrics", "unfinished", "columns", "curves", "output_dir", "style", "report")
IGNORED = {
    "wandb=sync": (*TABLES, "where", "source", "leaderboard"),
    "leaderboard=": TABLES,
    "source=wandb": ("unfinished",),
}
"""The options of the command line that have no effect beside another one."""


def compare(hydra_config: DictConfig) -> list[Row]:
    """Group the complete runs under ``runs`` by config keys, print mean ± standard error, and draw the curves.

    Writes ``table.csv``, ``table.md``, ``table.tex`` and the figures to ``output_dir``. Notes name the runs that are
    left out because they failed or have not ended, and differences that limit the comparison. Other figures of an
    earlier comparison in ``output_dir`` are removed. With ``leaderboard``, only that file is written.
    """
    config: Any = OmegaConf.to_container(hydra_config, resolve=True)
    refuse_unknown_choices(config)
    for option, ignored in IGNORED.items():
        if config[option.partition("=")[0]] not in (None, "folders"):
            refuse_without_effect(option, ignored)
    if config["wandb"] == "sync":
        sync(config["runs"])
        return []
    if config["report"] == "wandb":
        require_report()
    runs, left_out = read_runs(config)
    if config["leaderboard"] is not None:
        write_leaderboard(Path(config["leaderboard"]), [run for run in runs if run.ended], left_out)
        return []
    by = [config["by"]] if isinstance(config["by"], str) else list(config["by"])
    if config["columns"] not in (None, *by):
        raise UserError(f"columns={config['columns']} must be one of by=[{','.join(by)}]")
    groups = grouped(runs, by)
    ended, unfinished = [run for run in runs if run.ended], [run.place for run in runs if not run.ended]
    metrics, absent = metrics_of(ended, config["metrics"]) if ended else ([], [])
    curves = chosen_curves(runs, config["curves"])
    complete = [replace(group, runs=[run for run in group.runs if run.ended]) for group in groups]
    rows = summarise(complete, metrics)

    directory = Path(config["output_dir"])
    directory.mkdir(parents=True, exist_ok=True)
    again = (directory / "table.csv").exists()
    print_table(rows, by)
    write_atomically(directory / "table.csv", as_csv(rows, by))
    write_atomically(directory / "table.md", as_markdown(rows, by, config["columns"]))
    write_atomically(directory / "table.tex", as_latex(rows, by))
    said = [*absent, *changes(runs), *notes(groups, by), *too_few_runs(groups)]
    if unfinished:
        said.append(f"not ended, and only part of the curves: {abbreviated(unfinished)}")
    print_notes([*said, *map(str, left_out)])
    with use_style(config["style"]):
        files = draw(directory, groups, rows, by, curves)
    for file in files:
        print_line(f"figure {file}")
    for file in remove_earlier(directory, files, runs) if again else []:
        print_line(f"removed {file}, of an earlier comparison")
    print_line(f"tables {directory / 'table'}.csv, .md and .tex")
    if config["report"] == "wandb":
        write_report(groups, rows, by)
    return rows


def read_runs(config: dict[str, Any]) -> tuple[list[Run], list[LeftOut]]:
    """The runs to compare, and those that are left out. Raises UserError if there is none to compare."""
    if config["source"] == "wandb":
        runs, left_out = read_project(config["runs"])
    else:
        runs, left_out = read_folders(config["runs"], config["unfinished"])
    runs, damaged = readable(chosen(runs, left_out, config))
    left_out = [*left_out, *damaged]
    if not runs:
        raise UserError(f"no run in runs={config['runs']} can be read: {left_out[0].reason}")
    return runs, left_out


def write_leaderboard(file: Path, runs: Sequence[Run], left_out: Sequence[LeftOut]) -> None:
    """Write the leaderboard, and print notes on changed files and runs that are left out."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, leaderboard(runs))
    print_notes([*changes(runs), *leaderboard_notes(runs), *map(str, left_out)])
    print_line(f"leaderboard {file}: {len(runs)} runs")


def print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print_line(f"note: {printable_line(note, 2000)}")


def refuse_unknown_choices(config: dict[str, Any]) -> None:
    require_mapping(config["where"])
    for key, known in (
        ("source", ("folders", "wandb")),
        ("report", (None, "wandb")),
        ("wandb", (None, "sync")),
        ("style", tuple(STYLES)),
    ):
        if config[key] not in known:
            offered = " or ".join(f"{key}={'null' if choice is None else choice}" for choice in known)
            raise UserError(f"{key}={config[key]} is unknown: choose {offered}")


def chosen(runs: Sequence[Run], left_out: Sequence[LeftOut], config: dict[str, Any]) -> list[Run]:
    """The complete runs that match ``where``. Raises UserError if there is none."""
    if not runs:
        first = f", the first {left_out[0].reason}: {left_out[0].place}" if left_out else ""
        again = "; start them again with the same command" if any(each.incomplete for each in left_out) else ""
        raise UserError(f"no complete run in runs={config['runs']}: {len(left_out)} left out{first}{again}")
    found = matching(runs, config["where"] or {})
    if not found:
        raise UserError(f"none of the {len(runs)} complete runs in runs={config['runs']} has where={config['where']}")
    return found


def metrics_of(runs: Sequence[Run], wanted: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The wanted metrics that a run has, or all headline numbers; and notes on the others. Raises UserError."""
    headline = list(dict.fromkeys(metric for run in runs for metric in run.metrics))
    if wanted is None:
        return headline, []
    known = [*headline, *dict.fromkeys(name for run in runs for name in run.more)]
    found = [metric for metric in wanted if any(run.value(metric) is not None for run in runs)]
    absent = [
        f"metrics={metric} is in no run: there are {', '.join(known)}, and <test set>/<metric>"
        + did_you_mean(metric, known)
        for metric in wanted
        if metric not in found
    ]
    if not found:
        raise UserError(absent[0] if absent else "metrics=[] leaves nothing to compare")
    return found, absent
