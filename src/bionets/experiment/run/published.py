"""Published numbers from ``published.yaml``, which are shown beside the results of runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class Published:
    value: float
    source: str


@dataclass(frozen=True)
class Figure:
    """A published number, and the settings of the runs to which it applies, by dotted keys of the config."""

    metric: str
    published: Published
    settings: Mapping[str, Any]

    def suits(self, config: dict[str, Any]) -> bool:
        return all(_accepts(wanted, _at(config, key)) for key, wanted in self.settings.items())


@cache
def figures() -> list[Figure]:
    """All published numbers."""
    return [
        Figure(metric, Published(value, entry["source"]), {**entry["settings"], **number["with"]})
        for entry in yaml.safe_load(FILE.read_text())
        for number in entry["numbers"]
        for metric, value in number.items()
        if metric != "with"
    ]


def published(config: dict[str, Any]) -> dict[str, Published]:
    """The published numbers that apply to a run with this config, by metric."""
    return {figure.metric: figure.published for figure in figures() if figure.suits(config)}


def _accepts(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(value, int | float) and bool(value >= wanted["at_least"])
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)


def _at(config: dict[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
