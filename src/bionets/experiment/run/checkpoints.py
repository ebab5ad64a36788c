"""Checkpoints that survive a crash while they are written, and that are never unpickled when they are read."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from bionets.experiment.errors import UserError
from bionets.experiment.run.checkpoint_content import damage_of_file, fault_of_content
from bionets.experiment.run.run_folder import RunFolder, write_atomically

SIGNATURE = "bionets_checkpoint"
FORMAT = 1
UNREADABLE = (  # what `torch.load` raises where a file is none of its own
    *(pickle.UnpicklingError, zipfile.BadZipFile, OSError, EOFError, RuntimeError),
    *(ValueError, LookupError, TypeError, AttributeError, OverflowError),
)
REQUEUE = "hpc_ckpt_"  # what Lightning calls its checkpoint of a job in SLURM; it also loads any in default_root_dir


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, signed as ours; reads it with ``weights_only=True``.

    Lightning's checkpoint in the middle of an epoch, before SLURM requeues a job, is not written: a run goes on from
    its last whole epoch, which ends with the same bits.
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
    """A checkpoint's content.

    Raises:
        UserError: the file is missing, damaged, or not one that bionets wrote. Nothing in it is ever executed.
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


class MovableCheckpoint(ModelCheckpoint):
    """A `ModelCheckpoint` that finds its files again after the run's folder was moved, and keeps the best score."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        moved = {key: here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path")}
        scores = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "dirpath": self.dirpath, "best_k_models": scores})
        self.current_score = state_dict["current_score"]  # which Lightning saves and does not load


def checkpointing(folder: RunFolder, monitor: str, mode: str, within_epochs: bool = False) -> list[Callback]:
    """``best.ckpt`` by the task's monitored value, and then ``last.ckpt``, after every epoch; with ``within_epochs``
    the best is chosen among all validations of an epoch.
    """
    common: dict[str, Any] = {"dirpath": folder.checkpoints, "enable_version_counter": False, "save_top_k": 1}
    best = MovableCheckpoint(
        filename=folder.best.stem, monitor=monitor, mode=mode, save_on_train_epoch_end=not within_epochs, **common
    )
    last = MovableCheckpoint(
        filename=folder.last.stem, monitor=None, every_n_epochs=1, save_on_train_epoch_end=True, **common
    )
    return [best, last]
