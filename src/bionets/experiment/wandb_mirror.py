"""W&B mirrors the run's folder: under an id that the folder minted, offline unless logged in, finished whatever
happens.
"""

import netrc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import wandb
from lightning.pytorch.loggers import WandbLogger

from bionets.experiment.errors import UserError
from bionets.experiment.run_folder import RunFolder

MODES = ("online", "offline", "disabled")


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
    group = f"{config['task']['name']}/{config['model']['name']}/{config['name']}-{digest}"
    identity = folder.wandb_id()
    wandb.setup(wandb.Settings(silent=True))
    logger = WandbLogger(
        name=f"{config['model']['name']} {config['task']['name']} seed {config['seed']}",
        id=identity,
        project=settings["project"],
        entity=settings["entity"],
        group=group,
        job_type=job_type,
        tags=list(dict.fromkeys([config["task"]["name"], config["model"]["name"], config["name"], *settings["tags"]])),
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
    finally:
        wandb.finish(exit_code=int(failed))


def mirror_result(logger: WandbLogger, folder: RunFolder, result: dict[str, Any]) -> None:
    """Headline numbers, test metrics and figures to W&B; whoever reads the run there finds what ``result.json`` says.

    Tests under numbered conditions (``length_3``, ``length_4``, ...) are also a curve, ``tests/<metric>`` by
    ``tests/length``.
    """
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
    for row in curve_of_tests(result["tests"]):
        condition, *measured = row
        for name in measured:
            run.define_metric(name, step_metric=condition, summary="none")
        run.log(row)
    figures = {f"figures/{file.stem}": wandb.Image(str(file)) for file in sorted(folder.figures.glob("*.png"))}
    if figures:
        run.log(figures)


def curve_of_tests(tests: dict[str, dict[str, float]]) -> list[dict[str, float]]:
    """A row for each test set whose name ends in a number, in the tests' order: the number, then the metrics."""
    rows = []
    for name, metrics in tests.items():
        condition, _, number = name.rpartition("_")
        if condition and number.isdigit():
            values = {f"tests/{metric}": value for metric, value in metrics.items()}
            rows.append({f"tests/{condition}": float(number), **values})
    return rows


def wandb_mode(wanted: str) -> str:
    """``auto``: what $WANDB_MODE says, else online where logged in, else offline. What cannot be is a UserError."""
    if wanted not in ("auto", *MODES):
        raise UserError(f"logger.mode={wanted} is unknown: choose auto, {', '.join(MODES)}, or logger=none")
    if wanted == "online":
        require_login("logger.mode=online", "or leave logger.mode=auto")
    if wanted != "auto":
        return wanted
    return os.environ.get("WANDB_MODE") or ("online" if logged_in() else "offline")


def require_login(what: str, way_out: str) -> None:
    if not logged_in():
        raise UserError(f"{what} needs a W&B account: run `wandb login`, {way_out}")


def logged_in() -> bool:
    """Whether a W&B key is at hand, in the environment or in the netrc file that `wandb login` writes."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    file = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    try:
        return netrc.netrc(file).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
