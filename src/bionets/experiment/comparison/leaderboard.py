"""A leaderboard in Markdown: all runs of every task, with the best published value."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from .groups import Group, differing, repeated_seeds, settings_of
from .runs import Run
from .statistics import higher_is_better, mean, metric_values, standard_error
from .tables import markdown_table, short, with_error

PUBLISHED = Path(__file__).with_name("published_best.yaml")
MOST_SETTINGS = 4
ENERGY, LOSS = "test/nanojoules", "test/loss"
INTRODUCTION = """# Leaderboard

Mean ± standard error over seeds on test data; the best epoch is selected on validation data. *settings*: options that
differ between runs of one model, and options of the task that differ between any runs. *published*: a published value
for this model and task; the settings that must agree are in `src/bionets/experiment/run/published.yaml`. *energy*:
energy of the synaptic operations per sample in 45 nm technology, a mean over the test set, if the model reports it.
"""


@dataclass(frozen=True)
class PublishedBest:
    """The best published value for a task, for any model and protocol."""

    metric: str
    value: float
    method: str
    source: str


@cache
def published_bests() -> Mapping[str, PublishedBest]:
    """The best published values by the name of the task."""
    return {
        task: PublishedBest(**entry) for task, entry in yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")).items()
    }


def leaderboard(runs: Sequence[Run]) -> str:
    """A section for each task, with a line for each model and setting, best mean of the first test metric first, and
    those without this metric last."""
    by_task: dict[str, list[Run]] = {}
    for run in runs:
        by_task.setdefault(run.config["task"]["name"], []).append(run)
    return "\n".join([INTRODUCTION, *(section(task, by_task[task]) for task in sorted(by_task))])


def section(task: str, runs: Sequence[Run]) -> str:
    metric = headline_of(runs)
    groups = same_settings(runs)
    entries = [group for group in groups if metric_values(group, metric)]
    sign = -1 if higher_is_better(metric) else 1
    means = [sign * mean(metric_values(group, metric)) for group in entries]
    ranked = sorted(range(len(entries)), key=lambda place: (not math.isfinite(means[place]), means[place]))
    entries = [entries[place] for place in ranked]
    entries += [group for group in groups if not metric_values(group, metric)]
    header = ["model", "experiment", "settings", "seeds", metric, "published", "parameters", "energy (nJ)", "seconds"]
    lines = [entry_line(group, metric, entries) for group in entries]
    best = published_bests().get(task)
    table = markdown_table(header, lines)
    if best is None:
        return f"## {task}\n\n{table}"
    published = f"Best published: {best.metric} {short(best.value)}, {best.method}; {best.source}."
    return f"## {task}\n\n{published}\n\n{table}"


def headline_of(runs: Iterable[Run]) -> str:
    """The first test metric; the loss only if there is no other metric."""
    names = list(dict.fromkeys(name for run in runs for name in run.metrics if name.startswith("test/")))
    return next((name for name in names if name != LOSS), LOSS)


def same_settings(runs: Iterable[Run]) -> list[Group]:
    """Group runs that differ only in their seed, by model and experiment."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        settings = json.dumps(settings_of(run), sort_keys=True, default=str)
        groups.setdefault((run.config["model"]["name"], run.config["name"], settings), []).append(run)
    return [Group(values, members) for values, members in groups.items()]


def leaderboard_notes(runs: Iterable[Run]) -> list[str]:
    """Notes on entries that count a seed more than once."""
    found: list[str] = []
    for group in same_settings(runs):
        model, experiment, _ = group.values
        found += repeated_seeds(group, f"{group.runs[0].config['task']['name']}: {model}, {experiment}")
    return found


def entry_line(group: Group, metric: str, entries: Sequence[Group]) -> list[str]:
    model, experiment, _ = group.values
    known, values = group.published.get(metric), metric_values(group, metric)
    return [
        model,
        experiment,
        settings_text(group, entries),
        str(len({*group.seeds})),
        with_error(mean(values), standard_error(values)) if values else "",
        "" if known is None else short(known),
        *(mean_of(group, name) for name in ("parameters", ENERGY, "wall_time")),
    ]


def settings_text(group: Group, entries: Sequence[Group]) -> str:
    """The settings in which runs of a model differ, and the options of the task that differ between entries, without
    the paths of keys and classes.
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
    return short(mean(values)) if values else ""
