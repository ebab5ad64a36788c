"""``trainer.fast_dev_run``: a run with a few batches, in a temporary folder."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from bionets.experiment.config.resolve import RunConfig
from bionets.experiment.errors import UserError

FOLDER = "BIONETS_FAST_DEV_RUN"  # the environment variable with the folder, for the processes of ddp


@contextmanager
def fast_dev_run(runs: Sequence[RunConfig]) -> Iterator[list[RunConfig]]:
    """The runs unchanged; or, with ``trainer.fast_dev_run``, limited to one epoch and this number of batches for
    training, validation and test, without W&B, in a temporary folder, which MLflow uses too.
    """
    batches = runs[0].values["trainer"]["fast_dev_run"]
    if not batches:
        yield list(runs)
        return
    if batches < 0:
        raise UserError(f"trainer.fast_dev_run must be true or a number of batches, got {batches}")
    mine = FOLDER not in os.environ
    folder = os.environ.setdefault(FOLDER, mkdtemp(prefix="bionets-") if mine else "")
    try:
        yield [replace(run, values=with_few_batches(run.values, int(batches), folder)) for run in runs]
        if mine:
            each = "1 batch" if batches == 1 else f"{int(batches)} batches"
            print(f"fast_dev_run: training, validation and test ran on {each} each; nothing is kept")
    finally:
        if mine:
            del os.environ[FOLDER]
            shutil.rmtree(folder, ignore_errors=True)


def keeps_nothing() -> bool:
    """Whether the run folder is deleted at the end of the command."""
    return FOLDER in os.environ


def with_few_batches(values: dict[str, Any], batches: int, folder: str) -> dict[str, Any]:
    limits = dict.fromkeys(("limit_train_batches", "limit_val_batches", "limit_test_batches"), batches)
    epochs = {"max_epochs": 1, "min_epochs": None, "max_steps": -1, "min_steps": None, "check_val_every_n_epoch": 1}
    always = {"overfit_batches": 0.0, "val_check_interval": None, "fast_dev_run": None}
    logger = {**values["logger"], "wandb": False}
    if "mlflow" in logger:
        logger["mlflow"] = {**logger["mlflow"], "tracking_uri": Path(folder, "mlruns").as_uri()}
    return {
        **values,
        "trainer": {**values["trainer"], **limits, **epochs, **always},
        "logger": logger,
        "paths": {**values["paths"], "output_dir": folder},
    }
