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


def published(config: dict[str, Any]) -> dict[str, Published]:
    """The published numbers that apply to a run with this config, by metric."""
    return {
        metric: Published(value, entry["source"])
        for entry in _entries()
        for number in entry["numbers"]
        if _suits({**entry["settings"], **number["with"]}, config)
        for metric, value in number.items()
        if metric != "with"
    }


@cache
def _entries() -> list[dict[str, Any]]:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def _suits(settings: Mapping[str, Any], config: dict[str, Any]) -> bool:
    return all(_accepts(wanted, _at(config, key)) for key, wanted in settings.items())


def _accepts(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(value, int | float) and bool(value >= wanted["at_least"])
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)


def _at(config: dict[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
