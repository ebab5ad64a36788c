"""``positions.npz``: where the neurons of a spatial network were, before training and after every epoch.

``epoch`` ``[E]`` holds 0 for before training, 1 for after the first epoch, and so on; ``layer_<i>`` ``[E, N, dim]`` the
positions of layer i.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from bionets.experiment.errors import UserError
from bionets.experiment.run.run_folder import write_atomically
from bionets.layers import spatial_layers

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
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing: train a spatial model, which writes it") from error
    except (ValueError, OSError, KeyError) as error:
        raise UserError(f"{file} cannot be read: restore it, or delete the folder and train again") from error
