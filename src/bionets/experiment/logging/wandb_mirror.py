"""W&B mirrors the run's folder: under an id that the folder minted, offline unless logged in, finished whatever
happens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from lightning.pytorch.loggers import WandbLogger

from bionets.experiment.errors import Pruned
from bionets.experiment.logging.wandb_login import wandb_mode
from bionets.experiment.logging.wandb_panels import curve_of_tests
from bionets.experiment.run.metrics_file import read_rows
from bionets.experiment.run.run_folder import RunFolder

PATIENCE = 300.0  # seconds


@contextmanager
def mirror(
    config: dict[str, Any], folder: RunFolder, digest: str, job_type: str = "train"
) -> Iterator[WandbLogger | None]:
    """A W&B logger for this run, or None where the config wants none. Runs are grouped by task, model and config: a
    group's runs differ in seed.
    """
    settings = config["logger"]
    if not settings["wandb"]:
        yield None
        return
    import wandb  # slow, and absent where runs are logged elsewhere

    group = f"{config['task']['name']}/{config['model']['name']}/{config['name']}-{digest}"
    experiment = [config["name"]] if config["name"] != "run" else []  # "run" is what a run without a name is called
    identity = folder.wandb_id()
    # On a loaded machine W&B's own process may take longer to start than the 30 seconds it is given by default.
    wandb.setup(wandb.Settings(silent=True, init_timeout=PATIENCE, x_service_wait=PATIENCE))
    logger = WandbLogger(
        name=f"{config['model']['name']} {config['task']['name']} seed {config['seed']}",
        id=identity,
        project=settings["project"],
        entity=settings["entity"],
        group=group,
        job_type=job_type,
        tags=[config["task"]["name"], config["model"]["name"], *experiment, *settings["tags"]],
        # W&B's own offline files keep neither group nor job type outside the config.
        config={**config, "group": group, "job_type": job_type, "folder": str(folder.path)},
        save_dir=folder.path,
        mode=wandb_mode(settings["mode"]),
        resume="allow",
    )
    failed = True
    try:
        yield logger
        failed = False
    except Pruned:
        failed = False
        raise
    finally:
        wandb.finish(exit_code=int(failed))


def mirror_epochs(logger: WandbLogger, metrics_file: Path, first: int) -> None:
    """The epochs from ``first`` on, as they would have been logged while they were trained."""
    epochs: dict[int, dict[str, list[float]]] = {}
    steps: dict[int, int] = {}
    for step, epoch, name, value in read_rows(metrics_file):
        if epoch >= first:
            epochs.setdefault(epoch, {}).setdefault(name, []).append(value)
            steps[epoch] = max(step, steps.get(epoch, 0))
    for epoch, values in epochs.items():
        logger.log_metrics({name: fmean(each) for name, each in values.items()} | {"epoch": epoch}, step=steps[epoch])


def mirror_result(logger: WandbLogger, folder: RunFolder, result: dict[str, Any]) -> None:
    """Headline numbers, test metrics and figures to W&B; whoever reads the run there finds what ``result.json`` says.

    Tests under numbered conditions (``length_3``, ``length_4``, ...) are also a curve, ``tests/<metric>`` by
    ``tests/length``.
    """
    import wandb

    run = logger.experiment
    run.summary.update(
        {
            **result["metrics"],
            "headline": list(result["metrics"]),
            "tests": result["tests"],
            "parameters": result["parameters"],
            "wall_time": result["wall_time"],
        }
    )
    rows = curve_of_tests(result["tests"])
    for name in list(rows[0])[1:] if rows else ():
        run.define_metric(name, step_metric=next(iter(rows[0])), summary="none")
    for row in rows:
        run.log(row)
    figures = {f"figures/{file.stem}": wandb.Image(str(file)) for file in sorted(folder.figures.glob("*.png"))}
    if figures:
        run.log(figures)
