"""Checkpoints that are written atomically, and read without running code from them."""

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from bionets.atomic import write_atomically
from bionets.experiment.errors import UserError
from bionets.experiment.run.callbacks import StopAfter, StopBelow
from bionets.experiment.run.checkpoint_content import damage_of_file, fault_of_content
from bionets.experiment.run.run_folder import RunFolder
from bionets.experiment.run.safe_read import RESTORE
from bionets.tasks import Task

SIGNATURE = "bionets_checkpoint"
FORMAT = 1
UNREADABLE = (  # errors of `torch.load` for files that it cannot read
    *(pickle.UnpicklingError, zipfile.BadZipFile, OSError, EOFError, RuntimeError),
    *(ValueError, LookupError, TypeError, AttributeError, OverflowError),
)
REQUEUE = "hpc_ckpt_"  # Lightning's checkpoints of SLURM jobs, which it also loads from default_root_dir


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically, with the signature of bionets; reads them with ``weights_only=True``.

    Lightning's checkpoint in the middle of an epoch, before SLURM requeues a job, is not written: a run resumes from
    its last complete epoch, which gives bitwise the same results.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if Path(path).name.startswith(REQUEUE):
            return
        content = io.BytesIO()
        torch.save({**checkpoint, SIGNATURE: FORMAT}, content)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(Path(path), content.getvalue())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return read_checkpoint(Path(path), map_location or "cpu")


def read_checkpoint(path: Path, map_location: str | Callable[..., Any] = "cpu") -> dict[str, Any]:
    """Read a checkpoint. Nothing in it is executed.

    Raises:
        UserError: the file is missing, damaged, or was not written by bionets.
    """
    if not path.is_file():
        raise UserError(f"checkpoint {path} is missing: train the run first, or name another with checkpoint=last")
    advice = "restore it, or delete the run's folder and train again"
    if damage := damage_of_file(path):
        raise UserError(f"checkpoint {path} cannot be read, {damage}: {advice}")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except UNREADABLE as error:
        raise UserError(
            f"checkpoint {path} cannot be read, it is truncated or was not written by bionets: {advice}"
        ) from error
    if not isinstance(checkpoint, dict) or checkpoint.get(SIGNATURE) != FORMAT:
        raise UserError(f"checkpoint {path} was not written by this version of bionets: name a run that train.py made")
    if fault := fault_of_content(checkpoint):
        raise UserError(f"checkpoint {path} cannot be used, {fault}: {advice}")
    return checkpoint


def restore_last(folder: RunFolder) -> None:
    """Replace ``last.ckpt`` by ``best.ckpt`` if the latter is of the end of a later epoch: the process was killed after
    it had written ``best.ckpt``. The run then resumes with the epoch after it.

    Raises:
        UserError: ``best.ckpt`` was deleted, which a run would miss only at its end.
    """
    if not folder.last.exists():
        return
    last = read_checkpoint(folder.last)
    if not folder.best.exists():
        states = (each for each in last["callbacks"].values() if isinstance(each, dict))
        if folder.best.name in (Path(str(each.get("best_model_path"))).name for each in states):
            raise UserError(f"{folder.best} is missing: {RESTORE}")
        return
    best = read_checkpoint(folder.best)
    if best["epoch"] > last["epoch"] and not within_epochs(folder.config()["trainer"]):
        write_atomically(folder.last, folder.best.read_bytes())


def within_epochs(trainer: Mapping[str, Any]) -> bool:
    """Whether a trainer with this config validates within an epoch, where it may write ``best.ckpt``."""
    interval = trainer["val_check_interval"]
    return interval is not None and (isinstance(interval, int) or interval < 1)  # 1 is a batch, 1.0 an epoch


def best_score(checkpoint: Mapping[str, Any], monitor: str) -> float:
    """The best value of a metric up to a checkpoint, as stored by the callback that wrote it."""
    states = checkpoint["callbacks"].values()
    return next(float(each["best_model_score"]) for each in states if each.get("monitor") == monitor)


class MovableCheckpoint(ModelCheckpoint):
    """A `ModelCheckpoint` that finds its file after the run folder was moved, and restores its current score.

    Lightning deletes the file that a later one replaces, so its path is not taken from a checkpoint.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        file = str(Path(str(self.dirpath)) / f"{self.filename}{self.FILE_EXTENSION}")
        moved = {key: file if state_dict[key] else "" for key in ("best_model_path", "kth_best_model_path")}
        scores = [(file, score) for score in state_dict["best_k_models"].values()]
        super().load_state_dict({**state_dict, **moved, "dirpath": self.dirpath, "best_k_models": dict(scores)})
        self.current_score = state_dict["current_score"]  # which Lightning saves but does not load


def checkpoint_callbacks(config: Mapping[str, Any], task: Task, folder: RunFolder) -> list[Callback]:
    """The callbacks for early stopping, and those that write ``best.ckpt``, by the task's monitored value, and then
    ``last.ckpt`` after every epoch, with the state of the former. If a run validates within an epoch, the best is
    chosen among all validations of an epoch.
    """
    stop: list[Callback] = []
    if task.stop_below is not None:
        stop.append(StopBelow(task.monitor, task.mode, task.stop_below))
    patience = config["callbacks"]["patience"]
    if patience is not None:
        stop.append(StopAfter(task.monitor, task.mode, patience))
    common: dict[str, Any] = {"dirpath": folder.checkpoints, "enable_version_counter": False, "save_top_k": 1}
    best = MovableCheckpoint(
        filename=folder.best.stem,
        monitor=task.monitor,
        mode=task.mode,
        save_on_train_epoch_end=not within_epochs(config["trainer"]),
        **common,
    )
    last = MovableCheckpoint(
        filename=folder.last.stem, monitor=None, every_n_epochs=1, save_on_train_epoch_end=True, **common
    )
    return [*stop, best, last]
