"""``positions.npz``: where the neurons of a spatial network were, before training and after every epoch.

``epoch`` ``[E]`` holds 0 for before training, 1 for after the first epoch, and so on; ``layer_<i>`` ``[E, N, dim]`` the
positions of layer i.
"""

import io
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from bionets.experiment.errors import UserError
from bionets.experiment.run.names import printable
from bionets.experiment.run.run_folder import write_atomically
from bionets.experiment.run.safe_read import RESTORE
from bionets.layers import spatial_layers

UNREADABLE = (ValueError, OSError, LookupError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)

Positions = dict[str, NDArray[Any]]


class RecordPositions(Callback):
    """Writes the positions of all spatial layers, if there are any, at the start and after every epoch.

    An epoch's positions are written before its checkpoint; a resumed run drops those of epochs that the checkpoint does
    not know, so it leaves the file that a run without a stop would have left.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.positions: Positions = {}

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        if not trainer.is_global_zero or not spatial_layers(model):
            return
        if trainer.current_epoch == 0:
            self.positions = {}
            self._add(0, model)
        else:
            known = read_positions(self.file)
            shapes = {f"layer_{i}": tuple(layer.positions.shape) for i, layer in enumerate(spatial_layers(model))}
            if {name: values.shape[1:] for name, values in known.items() if name != "epoch"} != shapes:
                raise UserError(f"{self.file} holds the positions of another network: {RESTORE}")
            kept = known["epoch"] <= trainer.current_epoch
            self.positions = {name: values[kept] for name, values in known.items()}

    def on_train_epoch_end(self, trainer: Trainer, model: LightningModule) -> None:
        if self.positions:
            self._add(trainer.current_epoch + 1, model)

    def _add(self, epoch: int, model: LightningModule) -> None:
        now: Positions = {"epoch": np.array(epoch)}
        for i, layer in enumerate(spatial_layers(model)):
            now[f"layer_{i}"] = layer.positions.detach().cpu().float().numpy()
        before = self.positions or {name: values[None][:0] for name, values in now.items()}
        self.positions = {name: np.concatenate([before[name], values[None]]) for name, values in now.items()}
        write_npz(self.file, self.positions)


def write_npz(file: Path, arrays: Positions) -> None:
    """Write arrays by their names, the whole file or nothing."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    write_atomically(file, content.getvalue())


def read_positions(file: Path) -> Positions:
    """All of a run's ``positions.npz``; a file that is missing or broken is a UserError."""
    if not file.exists():
        raise UserError(f"{file} is missing: train a spatial model, which writes it")
    try:
        positions = _load(file)
    except UNREADABLE as error:
        raise UserError(f"{file} cannot be read: {RESTORE}") from error
    epochs = positions.get("epoch", np.empty(0))
    if epochs.ndim != 1 or epochs.dtype.kind != "i" or (np.diff(epochs) <= 0).any() or not len(epochs):
        raise UserError(f"{file} must hold the numbers of its epochs, in their order: {RESTORE}")
    for name in (name for name in positions if name != "epoch"):
        values = positions[name]
        if values.ndim != 3 or len(values) != len(epochs) or values.dtype.kind != "f" or not np.isfinite(values).all():
            raise UserError(f"{file} must hold finite positions of every epoch in {printable(name, 40)}: {RESTORE}")
    return positions


def _load(file: Path) -> Positions:
    """The arrays of a file, once each was seen to be whole: numpy takes the memory for an array before it reads it."""
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with zipfile.ZipFile(file) as archive:
        for record in archive.infolist():
            if record.compress_type != zipfile.ZIP_STORED:
                raise ValueError("it is compressed")
            with archive.open(record) as content:
                shape, _, dtype = read_header[np.lib.format.read_magic(content)](content)
                if math.prod(shape) * dtype.itemsize > record.file_size:
                    raise ValueError("an array is cut off")
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
