"""Reading of the runs to compare from a W&B project instead of their folders."""

from functools import cache
from typing import Any

from bionets.experiment.command_line import program
from bionets.experiment.comparison.runs import MORE, LeftOut, Run, WandbPlace, comparable
from bionets.experiment.errors import UserError, one_line
from bionets.experiment.logging.wandb_login import require_login
from bionets.experiment.logging.wandb_mirror import STEP
from bionets.experiment.run.metrics_file import Series

CURVES = ("train/", "val/")


def read_project(path: str) -> tuple[list[Run], list[LeftOut]]:
    """All runs of the project ``[entity/]project``: the complete ones, and those that are left out.

    Their curves have one point for each epoch; those of run folders have every step.
    """
    require_login("source=wandb", "or leave source=folders")
    import wandb  # slow to import, and rarely needed
    from wandb.errors import Error as WandbError

    try:
        read = [read_wandb_run(run) for run in wandb.Api().runs(path, lazy=False)]
    except (ValueError, WandbError) as error:
        raise UserError(f"W&B shows no project runs={path} (entity/project): {one_line(error)}") from error
    if not read:
        raise UserError(f"no run in W&B's runs={path}: send offline ones with {program('compare')} wandb=sync")
    return [run for run in read if isinstance(run, Run)], [run for run in read if isinstance(run, LeftOut)]


def read_wandb_run(run: Any) -> Run | LeftOut:
    """A run of W&B's public API in the form in which it is read from its folder."""
    config, summary = dict(run.config), dict(run.summary_metrics)
    if not {"name", "seed", "model", "task", "trainer"} <= config.keys():
        return LeftOut(run.url, "not a run of bionets")
    if run.state != "finished":
        return LeftOut(run.url, str(run.state), incomplete=True)
    if "headline" not in summary:
        return LeftOut(run.url, "finished without a result")
    read = Run(
        run.url,
        config,
        {name: float(summary[name]) for name in summary["headline"]},
        {test: {name: float(value) for name, value in of.items()} for test, of in summary["tests"].items()},
        cache(lambda: _curves(run)),
        {name: float(summary[name]) for name in MORE if name in summary},
        WandbPlace(run.entity, run.project, run.id),
    )
    return comparable(read)


def _curves(run: Any) -> Series:
    found: dict[str, dict[int, float]] = {}
    for row in run.scan_history():
        for name, value in row.items():
            if name.startswith(CURVES) and value is not None and row.get(STEP) is not None:
                # A value may occur twice, and W&B returns "NaN" and "Infinity" as strings.
                found.setdefault(name, {})[int(row[STEP])] = float(value)
    return {name: (list(values), list(values.values())) for name, values in found.items()}
