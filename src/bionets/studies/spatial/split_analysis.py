"""The assignment of neurons to tasks in trained spatial networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.table import Table

from bionets.analysis.activations import REDUCTIONS
from bionets.analysis.split_score import Score
from bionets.analysis.subnetworks import METHODS
from bionets.experiment.console import print_line, print_wide
from bionets.experiment.errors import refuse_unknown
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import using
from bionets.studies.spatial.spatial_run import DATA, SpatialRun
from bionets.studies.spatial.split_study import study

STEPS = ("record", "split", "score", "plot")


def analyse(config: DictConfig, options: dict[str, Any]) -> list[Path]:
    """Record, split, score and draw one run, or score the splits of many runs in a table and a figure. Return the
    files."""
    steps, methods = list(config.steps), list(config.methods)
    refuse_unknown("steps", steps, STEPS)
    refuse_unknown("methods", methods, METHODS)
    refuse_unknown("reduction", [config.reduction], REDUCTIONS)
    refuse_unknown("data", [config.data], DATA)
    options = {**options, "reduction": config.reduction, "seed": config.seed}
    if config.runs is not None:
        return study(config.runs, methods, list(config.by), Path(config.output_dir), options)
    animation = config.animation if config.film is None else config.film
    with using(RunFolder(config.run)):
        return analyse_run(SpatialRun(config.run, **options), steps, methods, animation)


def analyse_run(run: SpatialRun, steps: Sequence[str], methods: list[str], animation: bool) -> list[Path]:
    """Run the steps, and return the files that they write."""
    files: list[Path] = []
    if "record" in steps:
        files += run.write_activations()
    if "split" in steps:
        files += run.write_splits(methods)
    if "score" in steps:
        scores = {method: run.scores(method) for method in methods}
        files += run.write_scores(scores)
        print_scores(run, scores)
    if "plot" in steps:
        files += run.draw(methods, animation)
    return files


def print_scores(run: SpatialRun, scores: dict[str, list[Score]]) -> None:
    print_line(run.title)
    reached = ", ".join(f"{name} {value:.4f}" for name, value in zip(run.names, run.accuracies, strict=True))
    print_line(f"accuracy of the whole network: {reached}")
    where = ("silhouette", "purity (by chance)")
    table = Table("split", "subnetwork", *(f"on {name}" for name in run.names), *where)
    for method, each in scores.items():
        table.add_section()
        clusters = run.clusters(method)
        places = [f"{clusters.silhouette.value:.3f}", f"{clusters.purity.value:.3f} ({clusters.purity.chance:.3f})"]
        for i, name in enumerate(run.names):
            row = [score for score in each if score.subnetwork == name]
            cells = [cell_of(score) for score in row]
            table.add_row(method if i == 0 else "", name, *cells, *(places if i == 0 else ["", ""]))
    print_wide(table)


def cell_of(score: Score) -> str:
    """The accuracy and, for the subnetwork's task, the retention; for others, the accuracy through their outputs."""
    if score.subnetwork == score.task:
        return f"{score.accuracy:.4f} ({score.retention:.1%})"
    return f"{score.accuracy:.4f} (read {score.through_outputs:.4f})"
