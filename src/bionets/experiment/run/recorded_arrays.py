"""Arrays that are recorded during training, such as ``positions.npz`` of a spatial network.

``epoch`` ``[E]`` is 0 before training, 1 after the first epoch, and so on; every other array ``[E, ...]`` holds the
values that `Model.recorded_arrays` returned at these times.
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

from bionets.atomic import write_atomically
from bionets.experiment.console import printable_line
from bionets.experiment.errors import UserError
from bionets.experiment.run.safe_read import RESTORE
from bionets.models import Model

UNREADABLE = (ValueError, OSError, LookupError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)

Arrays = dict[str, NDArray[Any]]


class RecordArrays(Callback):
    """Writes the arrays that `Model.recorded_arrays` returns, at the start and after every epoch, each group to a file
    of its name in the run folder.

    The arrays of an epoch are written before its checkpoint. A resumed run removes those of epochs after its
    checkpoint, so that it writes the same file as an uninterrupted run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recorded: dict[str, Arrays] = {}

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        self.recorded = {}
        if not trainer.is_global_zero or not isinstance(model, Model) or not model.recorded_arrays():
            return
        if trainer.current_epoch == 0:
            self._add(0, model)
            return
        for name, tensors in model.recorded_arrays().items():
            file = self.folder / f"{name}.npz"
            known = read_recorded_arrays(file)
            shapes = {each: tuple(value.shape) for each, value in tensors.items()}
            if {each: values.shape[1:] for each, values in known.items() if each != "epoch"} != shapes:
                raise UserError(f"{file} holds the {name} of another network: {RESTORE}")
            kept = known["epoch"] <= trainer.current_epoch
            self.recorded[name] = {each: values[kept] for each, values in known.items()}

    def on_train_epoch_end(self, trainer: Trainer, model: LightningModule) -> None:
        if self.recorded:
            assert isinstance(model, Model)
            self._add(trainer.current_epoch + 1, model)

    def _add(self, epoch: int, model: Model) -> None:
        for name, tensors in model.recorded_arrays().items():
            now: Arrays = {"epoch": np.array(epoch)}
            now |= {each: value.detach().cpu().float().numpy() for each, value in tensors.items()}
            before = self.recorded.get(name) or {each: values[None][:0] for each, values in now.items()}
            together = {each: np.concatenate([before[each], values[None]]) for each, values in now.items()}
            self.recorded[name] = together
            write_npz(self.folder / f"{name}.npz", together)


def write_npz(file: Path, arrays: Arrays) -> None:
    """Write arrays by name, atomically."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    write_atomically(file, content.getvalue())


def read_recorded_arrays(file: Path) -> Arrays:
    """Read all arrays of a file. Raises UserError if it is missing or damaged."""
    if not file.is_file():
        raise UserError(f"{file} is missing: train the model again, which writes it")
    try:
        arrays = _load(file)
    except UNREADABLE as error:
        raise UserError(f"{file} cannot be read: {RESTORE}") from error
    epochs = arrays.get("epoch", np.empty(0))
    if epochs.ndim != 1 or epochs.dtype.kind != "i" or (np.diff(epochs) <= 0).any() or not len(epochs):
        raise UserError(f"{file} must hold the numbers of its epochs, in their order: {RESTORE}")
    for name in (name for name in arrays if name != "epoch"):
        values = arrays[name]
        if not values.ndim or len(values) != len(epochs) or values.dtype.kind != "f" or not np.isfinite(values).all():
            raise UserError(f"{file} must hold finite numbers of every epoch in {printable_line(name, 40)}: {RESTORE}")
    return arrays


def _load(file: Path) -> Arrays:
    """Load the arrays of a file after checking that each is complete: numpy allocates an array before it reads it."""
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with zipfile.ZipFile(file) as archive:
        for record in archive.infolist():
            if record.compress_type != zipfile.ZIP_STORED:
                raise ValueError("it is compressed")
            with archive.open(record) as content:
                shape, _, dtype = read_header[np.lib.format.read_magic(content)](content)
                if math.prod(shape) * dtype.itemsize > record.file_size:
                    raise ValueError("an array is truncated")
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
