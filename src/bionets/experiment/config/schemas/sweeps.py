"""Schemas of the sweepers."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class GridSweep:
    """All combinations of the values in ``params`` and on the command line."""

    _target_: str = "hydra_plugins.bionets_sweepers.GridSweeper"
    params: dict[str, str] = field(default_factory=dict)


@dataclass
class SearchSweep:
    """Optuna's samplers and pruners, over the ranges in ``params`` and on the command line."""

    _target_: str = "hydra_plugins.bionets_sweepers.SearchSweeper"
    _recursive_: bool = False
    params: dict[str, str] = field(default_factory=dict)
    sampler: Any = MISSING
    pruner: Any = None
    n_trials: int = 50
    n_jobs: int | None = None
    seed: int = 0
    storage: str | None = None
    study_name: str | None = None


SWEEPS: dict[str, type] = {"grid": GridSweep, "search": SearchSweep}
