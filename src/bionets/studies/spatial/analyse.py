"""The assignment of neurons to tasks in trained spatial networks, and the dynamics of a trained recurrent network."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from bionets.analysis.activations import REDUCTIONS
from bionets.analysis.split_score import Score
from bionets.analysis.subnetworks import METHODS
from bionets.experiment.commands.train import silence_libraries
from bionets.experiment.errors import UserError
from bionets.experiment.figure_style import figure_style
from bionets.experiment.run.dynamics_run import DynamicsRun, analyse_dynamics
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.trained import using
from bionets.experiment.run.trust import as_modules
from bionets.studies.spatial.spatial_run import DATA, SpatialRun
from bionets.studies.spatial.split_study import study

STEPS = ("record", "split", "score", "plot")


def analyse(hydra_config: DictConfig) -> None:
    """Analyse one run into its folder ``analysis/``: with ``method=dynamics`` a recurrent network, else record, split,
    score and draw a spatial one; or score the splits of many spatial runs, as a table and a figure in ``output_dir``.
    """
    refuse_unknown("method", [hydra_config.method], ("spatial", "dynamics"))
    steps, methods = list(hydra_config.steps), list(hydra_config.methods)
    refuse_unknown("steps", steps, STEPS)
    refuse_unknown("methods", methods, METHODS)
    refuse_unknown("reduction", [hydra_config.reduction], REDUCTIONS)
    if hydra_config.method == "spatial":
        refuse_unknown("data", [hydra_config.data], DATA)
    if (hydra_config.run is None) == (hydra_config.runs is None):
        raise UserError("name the folder of one run with run=, or a folder or glob of many with runs=")
    silence_libraries()
    if hydra_config.method == "dynamics" and hydra_config.runs is not None:
        raise UserError("method=dynamics analyses one run: name its folder with run=")
    options = {key: hydra_config[key] for key in ("checkpoint", "data_dir", "reduction", "data", "seed")}
    options["trust"] = as_modules(hydra_config.trust)
    options["task_options"] = OmegaConf.to_container(hydra_config.task, resolve=True)
    console = Console(markup=False)
    with figure_style(hydra_config.style):
        if hydra_config.method == "dynamics":
            chosen = {key: options[key] for key in ("checkpoint", "data_dir", "data", "trust", "task_options")}
            with using(RunFolder(hydra_config.run)):
                files = analyse_dynamics(console, DynamicsRun(hydra_config.run, unit=hydra_config.unit, **chosen))
        elif hydra_config.runs is not None:
            by, directory = list(hydra_config.by), Path(hydra_config.output_dir)
            files = study(console, hydra_config.runs, methods, by, directory, options)
        else:
            with using(RunFolder(hydra_config.run)):
                files = analyse_run(console, SpatialRun(hydra_config.run, **options), steps, methods, hydra_config.film)
    for file in files:
        console.print(str(file), highlight=False, markup=False, soft_wrap=True)


def analyse_run(console: Console, run: SpatialRun, steps: Sequence[str], methods: list[str], film: bool) -> list[Path]:
    """The files that the steps leave."""
    files: list[Path] = []
    if "record" in steps:
        files += run.write_activations()
    if "split" in steps:
        files += run.write_splits(methods)
    if "score" in steps:
        scores = {method: run.scores(method) for method in methods}
        files += run.write_scores(scores)
        print_scores(console, run, scores)
    if "plot" in steps:
        files += run.draw(methods, film)
    return files


def print_scores(console: Console, run: SpatialRun, scores: dict[str, list[Score]]) -> None:
    console.print(run.title, highlight=False, markup=False)
    reached = ", ".join(f"{name} {value:.4f}" for name, value in zip(run.names, run.accuracies, strict=True))
    console.print(f"accuracy of the whole network: {reached}", highlight=False)
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
    console.print(table)


def cell_of(score: Score) -> str:
    """Of the own task, what is kept of its accuracy; of another, what its outputs can still read."""
    if score.subnetwork == score.task:
        return f"{score.accuracy:.4f} ({score.retention:.1%})"
    return f"{score.accuracy:.4f} (read {score.through_outputs:.4f})"


def refuse_unknown(key: str, words: Sequence[str], known: Sequence[str]) -> None:
    unknown = [word for word in words if word not in known]
    if unknown:
        raise UserError(f"{key}={unknown[0]} is unknown: choose {', '.join(known)}")
