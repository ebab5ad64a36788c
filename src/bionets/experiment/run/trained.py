"""Loading of a trained model from its run folder."""

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bionets.experiment.console import printable_line
from bionets.experiment.errors import UserError, is_user_error, one_line
from bionets.experiment.run.build import build_model, build_task, set_precision
from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.data import prepare_data
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.safe_read import RESTORE
from bionets.experiment.run.trust import require_trusted
from bionets.models import Model
from bionets.tasks import Task
from bionets.tasks.own_task import CUSTOM


def load_trained(
    path: Path | str,
    checkpoint: str = "best",
    data_dir: str | None = None,
    trust: Sequence[str] = (),
    *,
    data: bool = True,
    task_options: Mapping[str, Any] | None = None,
) -> tuple[Model, Task]:
    """Load the model of a run with the weights of its ``best`` or ``last`` epoch, in evaluation mode, and its task::

        model, task = bionets.load("outputs/binary_addition/nbrc/run-110475b5/seed-0")
        for x, target in task.batches_of("length_40"):
            prediction = model(x)

    The model has torch's default dtype, to which the weights of a run in another ``trainer.precision`` are converted.

    Like the run, it sets the precision of float32 matrix products and whether denormal numbers are flushed, for the
    whole process.

    Args:
        path: the run folder.
        checkpoint: ``best`` or ``last``.
        data_dir: the folder of all data sets; None for that in the run's ``config.yaml``.
        trust: modules whose code the run's ``config.yaml`` may name, in addition to that of bionets.
        data: whether the task's data are read (or downloaded) and checked now. If False, the model can be used and the
            task has its ``spec``, ``loss`` and ``metrics``; its data are read on first use. The tasks ``custom``,
            ``time_series``, ``shd``, ``ssc`` and ``speech_digits`` need their files in any case.
        task_options: options of the task that replace those in the run's ``config.yaml``, to use other data.

    Raises:
        UserError: the folder is not a run folder, files are damaged or do not fit together, or code is not trusted.
    """
    folder = RunFolder.existing(path)
    file = folder.checkpoint(checkpoint)
    config = folder.config()
    require_trusted(config, folder.config_file, trust)
    config["task"] |= known_options(task_options or {}, config["task"])
    if data_dir is not None and "data_dir" in config["task"]:
        config["task"]["data_dir"] = data_dir
    if config["task"]["_target_"] == CUSTOM:  # other data may have classes and columns in another order
        if names := folder.class_names():
            config["task"]["class_names"] = names
        if Path(config["task"]["data"]).suffix == ".csv":
            config["task"]["inputs"] = config["task"].get("inputs") or folder.columns()
    saved = read_checkpoint(file)
    folder.require_unchanged(file)
    set_precision(config.get("matmul_precision", "highest"), config.get("flush_denormals", False))
    with building(folder.config_file):
        task = build_task(config)
        model = build_model(config, task.spec)
    if data:
        prepare_data(task, trains=False)
    try:
        model.load_state_dict(saved["state_dict"])
    except (RuntimeError, TypeError, ValueError, KeyError, AttributeError) as error:
        said = f"checkpoint {checkpoint} of {folder.path} does not fit the model"
        if task_options:
            changed = " and ".join(f"task.{key}" for key in task_options)
            raise UserError(f"{said} for {changed}: choose data with the inputs and outputs of training") from error
        raise UserError(f"{said} in its config.yaml: restore one of the two") from error
    return model.eval(), task


def known_options(options: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """The given options of a task. Raises UserError for one that the task does not have."""
    for key in options:
        if key not in task or key in ("_target_", "name"):
            known = ", ".join(sorted(set(task) - {"_target_", "name"}))
            raise UserError(f"task.{key} is not an option of the run's task: it has {known}")
    return dict(options)


@contextmanager
def building(config_file: Path) -> Iterator[None]:
    """Turn errors of constructors with invalid values into UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{config_file}: {printable_line(error)}") from error
    except Exception as error:
        raise cannot_run(config_file, error) from error


@contextmanager
def using(folder: RunFolder) -> Iterator[None]:
    """Turn errors of a model that was built from an unverified config into UserError. If there is a manifest, the
    config is as the run wrote it, and errors are those of bionets and remain.
    """
    try:
        yield
    except Exception as error:
        if folder.manifest_file.exists() or is_user_error(error):
            raise
        raise cannot_run(folder.config_file, error) from error


def cannot_run(config_file: Path, error: Exception) -> UserError:
    what = printable_line(f"{type(error).__name__}: {one_line(error)}", 200)
    return UserError(f"{config_file} cannot be built and run ({what}): {RESTORE}")


@contextmanager
def restoring(file: Path | None) -> Iterator[None]:
    """Turn errors of a Trainer that resumes from a checkpoint that does not fit the run into UserError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError) as error:
        # Lightning's functions that restore checkpoints; if they are renamed, the traceback is shown instead.
        frames = traceback.extract_tb(error.__traceback__)
        restores = any(
            "checkpoint_connector" in each.filename or each.name == "load_model_state_dict" for each in frames
        )
        # PyTorch does not check an optimizer's state before the first step with it.
        steps = Path(frames[-1].filename).parts[-3:-1] == ("torch", "optim")
        if file is None or not (restores or steps):
            raise
        raise UserError(f"checkpoint {file} does not fit the run: {RESTORE}") from error
