"""Grouping of runs, and notes on differences that limit their comparison."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bionets.experiment.config.digest import scientific_part
from bionets.experiment.run.published import published

from .runs import Run, require_key, value_of

SEEDS = ("task.seed", "model.seed")  # the seed of the run; a seed among the arguments of own code is a setting
NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Group:
    """Runs with the same values of the ``by`` keys. The first value is the label of the group; the others name its
    panel. The groups of a panel are compared with each other.
    """

    values: tuple[str, ...]
    runs: list[Run]

    @property
    def label(self) -> str:
        return self.values[0]

    @property
    def panel(self) -> tuple[str, ...]:
        return self.values[1:]

    @property
    def seeds(self) -> list[int]:
        return sorted(run.seed for run in self.runs)

    @property
    def published(self) -> dict[str, float]:
        """The published value of each metric, if all runs follow the published protocol."""
        first, *others = [published(run.config) for run in self.runs]
        return {name: known.value for name, known in first.items() if all(each.get(name) == known for each in others)}

    def __str__(self) -> str:
        return ", ".join(self.values)


def grouped(runs: Sequence[Run], by: Sequence[str]) -> list[Group]:
    """Group runs by the values of one or more config keys, sorted by panel and label; numbers are sorted as numbers."""
    for key in by:
        require_key(runs, key, "by")
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(value_of(run.config, key) for key in by), []).append(run)
    found = [Group(values, members) for values, members in groups.items()]
    return sorted(found, key=lambda group: [_natural(value) for value in (*group.panel, group.label)])


def by_panel(groups: Sequence[Group]) -> dict[tuple[str, ...], list[Group]]:
    """The groups of each panel, which are compared with each other."""
    panels: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        panels.setdefault(group.panel, []).append(group)
    return panels


def panel_title(panel: Sequence[str], by: Sequence[str]) -> str:
    """``num_layers = 2`` for the panel ("2",) of by=[model,model.num_layers]."""
    return ", ".join(f"{key.rpartition('.')[2]} = {value}" for key, value in zip(by[1:], panel, strict=True))


def notes(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    """Notes on differences that limit the comparison: seeds that are missing or counted twice, and settings that differ
    within a group or, apart from the first key of ``by``, between the groups of a panel.
    """
    said = [] if {"seed", *SEEDS}.intersection(by) else [*_unequal_seeds(groups)]
    for group in groups:
        different = differing([settings_of(run) for run in group.runs])
        if different:
            said.append(
                f"{group} pools runs that differ in {_listed(different)}: add a key to by=[{','.join(by)},...], "
                "or choose with where={key:value}"
            )
        else:
            said += repeated_seeds(group, str(group))
    said += _between(groups, by)
    return said


def repeated_seeds(group: Group, name: str) -> Iterator[str]:
    """A note if a group counts a seed more than once, as after a run folder was copied."""
    if len(set(group.seeds)) < len(group.seeds):
        yield f"{name} counts a seed more than once: {_short(group.seeds)}"


def _unequal_seeds(groups: Sequence[Group]) -> Iterator[str]:
    ended = [{run.seed for run in group.runs if run.ended} for group in groups]
    every = set().union(*ended)
    for group, seeds in zip(groups, ended, strict=True):
        if missing := sorted(every - seeds):
            yield f"{group} has no complete run of seed {_short(missing)}, which others have"


def _between(groups: Sequence[Group], by: Sequence[str]) -> Iterator[str]:
    """Notes on settings that differ between the groups of a panel, by the first run of each, apart from the first key
    of ``by`` and what belongs to it. The other keys are equal within a panel; of ``model`` and ``task``, only the name.
    """
    found: dict[str, str] = {}
    label = by[0]
    for members in by_panel(groups).values():
        settings = [settings_of(group.runs[0]) for group in members]
        for key in differing(settings):
            if not f"{key}.".startswith(f"{label}.") and not label.startswith(f"{key}."):
                values = (f"{group} {each.get(key, '-')}" for group, each in zip(members, settings, strict=True))
                found.setdefault(key, f"the groups also differ in {key}: {'; '.join(values)}")
    yield from found.values()


def settings_of(run: Run) -> dict[str, Any]:
    """The settings that can change a result, by dotted key, without the seed of the run."""
    flat = dict(_flat(scientific_part(run.config)))
    return {key: value for key, value in flat.items() if not (key in SEEDS and value == run.seed)}


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not the same in all mappings."""
    keys = dict.fromkeys(key for each in settings for key in each)
    return [key for key in keys if any(each.get(key) != settings[0].get(key) for each in settings)]


def _listed(keys: Sequence[str], most: int = 4) -> str:
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more


def _short(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _natural(text: str) -> list[tuple[bool, float, str]]:
    """A sort key under which model2 comes before model10, 5 before 100, and 1e-05 before 0.001."""
    pieces = ["", text, ""] if NUMBER.fullmatch(text) else re.split(r"(\d+(?:\.\d+)?)", text)
    return [(True, 0.0, piece) if index % 2 == 0 else (False, float(piece), "") for index, piece in enumerate(pieces)]
