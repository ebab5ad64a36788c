"""A leaderboard in Markdown: every task with all that was trained on it, beside the best published number."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean

import yaml

from .groups import Group, differing, settings_of
from .runs import Run
from .statistics import higher_is_better, metric_values, standard_error
from .tables import markdown_table, short, with_error

PUBLISHED = Path(__file__).with_name("published_best.yaml")
MOST_SETTINGS = 4
ENERGY, LOSS = "test/nanojoules", "test/loss"
INTRODUCTION = """# Leaderboard

Mean ± standard error over seeds on test data; the epoch is chosen on validation data. *settings*: what differs
between runs of one model, and what of the task differs between any runs. *energy*: of the synaptic operations of one
sample in 45 nm, where a model reports them. *published*: the original's number under the same protocol.
"""


@dataclass(frozen=True)
class PublishedBest:
    """The best number on a task that was published, whatever its model and protocol."""

    metric: str
    value: float
    method: str
    source: str


@cache
def published_bests() -> Mapping[str, PublishedBest]:
    """By the name of the task."""
    return {task: PublishedBest(**entry) for task, entry in yaml.safe_load(PUBLISHED.read_text()).items()}


def leaderboard(runs: Sequence[Run]) -> str:
    """A section for each task: a line for each model and setting, the best mean first, of the task's first headline
    number.
    """
    by_task: dict[str, list[Run]] = {}
    for run in runs:
        by_task.setdefault(run.config["task"]["name"], []).append(run)
    return "\n".join([INTRODUCTION, *(section(task, by_task[task]) for task in sorted(by_task))])


def section(task: str, runs: Sequence[Run]) -> str:
    metric = headline_of(runs)
    entries = [group for group in same_settings(runs) if metric_values(group, metric)]
    entries.sort(key=lambda group: fmean(metric_values(group, metric)), reverse=higher_is_better(metric))
    header = ["model", "experiment", "settings", "seeds", metric, "published", "parameters", "energy (nJ)", "seconds"]
    lines = [entry_line(group, metric, entries) for group in entries]
    best = published_bests().get(task)
    table = markdown_table(header, lines)
    if best is None:
        return f"## {task}\n\n{table}"
    published = f"Best published: {best.metric} {short(best.value)}, {best.method}; {best.source}."
    return f"## {task}\n\n{published}\n\n{table}"


def headline_of(runs: Iterable[Run]) -> str:
    """The first number of the test, the loss only where there is no other."""
    names = list(dict.fromkeys(name for run in runs for name in run.metrics if name.startswith("test/")))
    return next((name for name in names if name != LOSS), LOSS)


def same_settings(runs: Iterable[Run]) -> list[Group]:
    """The runs that differ in their seed alone, by model and experiment."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        settings = json.dumps(settings_of(run), sort_keys=True, default=str)
        groups.setdefault((run.config["model"]["name"], run.config["name"], settings), []).append(run)
    return [Group(values, members) for values, members in groups.items()]


def entry_line(group: Group, metric: str, entries: Sequence[Group]) -> list[str]:
    model, experiment, _ = group.values
    known = group.published.get(metric)
    return [
        model,
        experiment,
        settings_text(group, entries),
        str(len({*group.seeds})),
        with_error(fmean(values := metric_values(group, metric)), standard_error(values)),
        "" if known is None else short(known),
        *(mean_of(group, name) for name in ("parameters", ENERGY, "wall_time")),
    ]


def settings_text(group: Group, entries: Sequence[Group]) -> str:
    """The values in which runs of a model differ, and options of the task that are not the same in all entries, without
    the paths of keys and of classes.
    """
    own = settings_of(group.runs[0])
    of_task = [key for key in differing([settings_of(each.runs[0]) for each in entries]) if key.startswith("task.")]
    of_model = differing([settings_of(each.runs[0]) for each in entries if each.values[0] == group.values[0]])
    keys = [key for key in dict.fromkeys((*of_task, *of_model)) if key in own]
    texts = [
        str(own[key]).rpartition(".")[2] if key.endswith("._target_") else f"{key.rpartition('.')[2]} {own[key]}"
        for key in keys
        if not key.endswith("._partial_")
    ]
    more = [f"{len(texts) - MOST_SETTINGS} more"] if len(texts) > MOST_SETTINGS else []
    return ", ".join([*texts[:MOST_SETTINGS], *more])


def mean_of(group: Group, name: str) -> str:
    values = metric_values(group, name)
    return short(fmean(values)) if values else ""
