"""What W&B's public API hands out, without W&B: the same attributes, filled by hand or from an offline run's log."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class ApiRun:
    """The attributes of ``wandb.apis.public.Run`` that are read."""

    config: dict[str, Any]
    summary_metrics: dict[str, Any]
    history: list[dict[str, Any]] = field(default_factory=list)
    state: str = "finished"
    id: str = "abc12345"
    entity: str = "lab"
    project: str = "bionets"

    @property
    def url(self) -> str:
        return f"https://wandb.ai/{self.entity}/{self.project}/runs/{self.id}"

    def scan_history(self) -> Iterator[dict[str, Any]]:
        return iter(self.history)


class Api:
    """``wandb.Api`` with these projects."""

    def __init__(self, projects: dict[str, list[ApiRun]]) -> None:
        self.projects, self.default_entity = projects, "lab"

    def runs(self, path: str, lazy: bool) -> list[ApiRun]:
        if path not in self.projects:  # as wandb says it
            raise ValueError(f"Could not find project {path}")
        return self.projects[path]


def uploaded(log: Path) -> ApiRun:
    """The run that W&B would show after it was sent, read by W&B's own reader of its logs."""
    summary = json.loads(inspect(log, "--summary"))
    records = [json.loads(line) for line in inspect(log).splitlines()]
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    return ApiRun(summary["config"], summary["summary"], history, summary["state"], summary["run_id"])


def inspect(log: Path, *options: str) -> str:
    command = [Path(sys.executable).parent / "wandb", "leet", "inspect", *options, "--json", log]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
