"""A comparison as a W&B report: the table, and panels with the runs in the groups of the comparison."""

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

from bionets.experiment.comparison.groups import Group, by_panel, panel_title
from bionets.experiment.comparison.runs import WandbPlace
from bionets.experiment.comparison.statistics import Row
from bionets.experiment.comparison.tables import as_markdown
from bionets.experiment.console import print_line
from bionets.experiment.errors import UserError
from bionets.experiment.logging.wandb_login import require_login
from bionets.experiment.logging.wandb_mirror import STEP, curve_of_tests


def require_report() -> None:
    """Raise UserError if the package for reports is not installed, or the user is not logged in."""
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise UserError("report=wandb needs wandb-workspaces: pip install 'bionets[report]'")
    require_login("report=wandb", "then the same command")


def write_report(groups: Sequence[Group], rows: Sequence[Row], by: Sequence[str]) -> None:
    """Save the report in the project of the runs, and print its address."""
    import wandb  # slow to import, and rarely needed

    entity, project = project_of(groups)
    report = build_report(entity or wandb.Api().default_entity, project, groups, rows, by)
    report.save()
    print_line(f"report {report.url}")


def project_of(groups: Sequence[Group]) -> tuple[str | None, str]:
    """The entity and project of all runs, uploaded or not. Raises UserError if there is none or more than one."""
    places = {(mirror.entity, mirror.project) for mirror in _mirrors(groups)}
    if not places:
        raise UserError("none of these runs has a W&B mirror (logger=none), so a W&B report would be empty")
    if len(places) > 1:
        names = ", ".join(sorted(project for _, project in places))
        raise UserError(f"a W&B report shows one project, and these runs are in {names}: compare those of one")
    return places.pop()


def build_report(
    entity: str | None, project: str, groups: Sequence[Group], rows: Sequence[Row], by: Sequence[str]
) -> Any:
    """The report before it is saved: the table as text; losses and accuracies over steps, tests over their condition,
    and bars of the headline numbers, each as the mean of a group with its standard error.
    """
    wr: Any = importlib.import_module("wandb_workspaces.reports.v2")  # an optional package without types
    runs = [run for group in groups for run in group.runs]
    curves = sorted({name for run in runs for name in run.curves() if "loss" in name or "accuracy" in name})
    tests = [row for run in runs for row in curve_of_tests(run.tests)[:1]]
    lines = [(name, STEP) for name in curves]
    lines += list(dict.fromkeys((name, next(iter(row))) for row in tests for name in list(row)[1:]))
    metrics = list(dict.fromkeys(row.metric for row in rows))
    means = {"groupby": wr.Config(config_key(by[0])), "groupby_aggfunc": "mean", "groupby_rangefunc": "stderr"}
    grids = [
        wr.PanelGrid(
            runsets=[
                wr.Runset(
                    entity=entity,
                    project=project,
                    name=panel_title(panel, by) or "compared runs",
                    filters=f"Metric('ID') in {[mirror.identity for mirror in _mirrors(members)]}",
                    groupby=[f"config.{config_key(key)}" for key in by],
                )
            ],
            panels=[wr.LinePlot(title=name, x=x, y=[name], log_y="loss" in name, **means) for name, x in lines]
            + [wr.BarPlot(title=metric, metrics=[metric], **means) for metric in metrics],
        )
        for panel, members in by_panel(groups).items()
    ]
    title = f"{' and '.join(sorted({run.config['task']['name'] for run in runs}))} by {by[0]}"
    return wr.Report(
        entity=entity,
        project=project,
        title=title[:128],
        description="Written by bionets: python compare.py report=wandb",
        blocks=[wr.MarkdownBlock(text=as_markdown(rows, by)), *grids],
        width="fluid",
    )


def config_key(key: str) -> str:
    """The key in a run's config: ``model`` and ``task`` mean their names."""
    return f"{key}.name" if key in ("model", "task") else key


def _mirrors(groups: Sequence[Group]) -> list[WandbPlace]:
    return [run.mirror for group in groups for run in group.runs if run.mirror is not None]
