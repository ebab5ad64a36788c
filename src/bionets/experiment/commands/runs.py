"""``bionets runs``: list all run folders with their status; delete those that ended early."""

import sys
from collections.abc import Callable, Sequence
from itertools import filterfalse
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.text import Text

from bionets.experiment.comparison.run_list import ENDED_EARLY, STATUSES, ListedRun, delete, listed_runs
from bionets.experiment.comparison.runs import matching, require_mapping
from bionets.experiment.console import escape_controls, print_line
from bionets.experiment.errors import UserError, refuse_unknown

SORT: dict[str, Callable[[ListedRun], Any]] = {
    "changed": lambda run: run.changed,
    "status": lambda run: STATUSES.index(run.status),
    "task": lambda run: run.task,
    "model": lambda run: run.model,
    "metric": lambda run: run.value,
    "duration": lambda run: run.seconds,
}
COLOURS = {"complete": "green", "running": "blue"}


def runs(hydra_config: DictConfig) -> list[ListedRun]:
    """Print a line for each run below ``runs``, and delete the folders of those whose status is in ``delete``."""
    config: Any = OmegaConf.to_container(hydra_config, resolve=True)
    statuses, deleted = (
        words_of("status", config["status"], STATUSES),
        words_of("delete", config["delete"], ENDED_EARLY),
    )
    if deleted and statuses:
        raise UserError("delete= names the status of the runs to delete: leave out status=")
    refuse_sort(config["sort"])
    require_mapping(config["where"])
    found = listed_runs(config["runs"], config["metric"])
    known = list(dict.fromkeys(name for run in found for name in run.metrics))
    if config["metric"] is not None and known:
        refuse_unknown("metric", [config["metric"]], known)
    if config["where"]:
        found = matching(found, config["where"])
    wanted = deleted or statuses or STATUSES
    shown = in_order([run for run in found if run.status in wanted], config["sort"])
    print_runs(shown, config["figures"])
    if deleted and shown:
        delete_runs(shown, config["yes"])
    return shown


def words_of(key: str, value: str | Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """A word or a list of words, as a list. Raises UserError for an unknown word."""
    words = [value] if isinstance(value, str) else list(value or [])
    refuse_unknown(key, words, known)
    return words


def refuse_sort(key: str) -> None:
    if key.removeprefix("-") not in SORT:
        raise UserError(f"sort={key} is unknown: choose {', '.join(SORT)}, or one with a minus, as in sort=-metric")


def in_order(found: Sequence[ListedRun], key: str) -> list[ListedRun]:
    """Sort runs by ``key``, in descending order with a minus; runs whose value is missing or NaN come last."""
    value = SORT[key.removeprefix("-")]

    def is_known(run: ListedRun) -> bool:
        return value(run) is not None and value(run) == value(run)

    known = sorted(filter(is_known, found), key=value, reverse=key.startswith("-"))
    return [*known, *filterfalse(is_known, found)]


def print_runs(found: Sequence[ListedRun], figures: bool) -> None:
    """Print a line with columns for each run, the folder last, and the number of runs of each status."""
    lines = [("status", "task", "model", "epochs", "metric", "duration", "changed", "folder"), *map(cells_of, found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    console = Console()
    for number, line in enumerate(lines):
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        styles = ["bold"] * len(cells) if number == 0 else [COLOURS.get(line[0], "red"), *[""] * (len(cells) - 1)]
        text = Text("  ").join(Text(cell, style) for cell, style in zip(cells, styles, strict=True))
        text.rstrip()
        console.print(text, soft_wrap=True, highlight=False)
        if number and found[number - 1].note:
            console.print(f"  {found[number - 1].note}", soft_wrap=True, highlight=False, markup=False, style="dim")
        for file in found[number - 1].figures if number and figures else []:
            print_line(f"  figure {file}")
    counts = [(status, sum(run.status == status for run in found)) for status in STATUSES]
    total = ", ".join(f"{count} {status}" for status, count in counts if count)
    print_line(f"{len(found)} run{'' if len(found) == 1 else 's'}{f': {total}' if total else ''}")


def cells_of(run: ListedRun) -> tuple[str, ...]:
    number = "" if run.value is None else f"{run.metric} {run.value:.4g}"
    changed = "" if run.changed is None else f"{run.changed:%Y-%m-%d %H:%M}"
    return (
        run.status,
        run.task,
        run.model,
        run.epochs,
        number,
        duration_of(run.seconds),
        changed,
        escape_controls(str(run.path)),
    )


def duration_of(seconds: float | None) -> str:
    """Seconds in the form ``1:02:03``; the empty text for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def delete_runs(found: Sequence[ListedRun], yes: bool) -> None:
    """Delete the folders of these runs after confirmation by the user, or at once with ``yes``."""
    question = f"delete {'this folder' if len(found) == 1 else f'these {len(found)} folders'} and all files in them?"
    if not yes:
        if not sys.stdin.isatty():
            raise UserError(f"there is no terminal to confirm in: to {question.rstrip('?')}, add yes=true")
        try:
            answer = input(f"{question} [y/N] ")
        except EOFError:  # Ctrl-D
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            print("nothing was deleted")
            return
    for run in found:
        done = "deleted" if delete(run) else "kept, because it has been started again:"
        print_line(f"{done} {run.path}")
