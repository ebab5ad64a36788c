"""Spoken words as spikes of a model of the cochlea: the Spiking Heidelberg Digits and the Spiking Speech Commands."""

import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from .bases import Classification, FixedSets
from .checks import require_at_least, require_one_of
from .event_frames import EventFrames, cached_frames, dense_frames, stack_frames
from .heidelberg_files import HEIDELBERG_FILES, UNITS, read_counts, read_labels
from .seeding import split_generator, stratified_split
from .spec import TaskSpec
from .task import Data


class HeidelbergSpikes(Classification, FixedSets):
    """Classify spoken words by the spikes of a model of the cochlea with 700 units: ``shd``, the Spiking Heidelberg
    Digits (8,156 recordings for training and 2,264 for the test, 20 classes: the digits in German and English), or
    ``ssc``, the Spiking Speech Commands (75,466, 9,981 for validation and 20,382 for the test, 35 classes).

    x is ``[steps, B, channels]``, the number of spikes in each time window of ``bin_ms``, up to ``max_ms``; later
    spikes are left out. Channel c holds the units u with ⌊u · channels / 700⌋ = c. The target ``[B]`` is the class.

    SSC has a validation set. For SHD, the validation set is a stratified share of the training set, the same for every
    ``seed``, or all training recordings of some speakers.

    The files (`shd_train.h5`, ...) are read from the folders that tonic uses, ``data_dir/SHD`` and ``data_dir/SSC``,
    and downloaded if they are missing. The counts are computed once and stored there, in ``frames/``. Reading the files
    requires h5py: ``pip install 'bionets[events]'``.

    Args:
        dataset: ``shd`` or ``ssc``.
        data_dir: the folder with a subfolder for each data set.
        bin_ms: duration of a time window, in milliseconds.
        max_ms: duration of the part of a recording that is used, in milliseconds, rounded up to whole windows.
        channels: number of groups of neighbouring units whose spikes are counted together, at most 700.
        val_share: share of the training set of SHD that is used for validation.
        val_speakers: if given, the training recordings of the speakers with these numbers are the validation set of
            SHD.
        split_seed: seed of the random split.
        seed: seed of the order of the samples.
        others: see `Task`.

    Raises:
        ConnectionError: files are missing and cannot be downloaded.
        ValueError: a file is damaged, or the validation set is impossible.

    Source: Cramer, Stradmann, Schemmel and Zenke, IEEE Transactions on Neural Networks and Learning Systems 2020.
    """

    stored_batch_dims = (0, 0)

    def __init__(
        self,
        dataset: str = "shd",
        data_dir: str | Path = "data",
        bin_ms: float = 10.0,
        max_ms: float = 1400.0,
        channels: int = UNITS,
        val_share: float = 0.1,
        val_speakers: Sequence[int] = (),
        split_seed: int = 0,
        batch_size: int = 128,
        epochs: int = 50,
        seed: int = 0,
    ) -> None:
        require_one_of(HEIDELBERG_FILES, dataset=dataset)
        require_at_least(1, channels=channels)
        if channels > UNITS:
            raise ValueError(f"task.channels must be at most {UNITS}, got {channels}")
        if not 0 < bin_ms <= max_ms < math.inf:
            raise ValueError(f"task.bin_ms must be above 0 and at most task.max_ms={max_ms}, got {bin_ms}")
        self.files = HEIDELBERG_FILES[dataset]
        self.bin_ms, self.steps, self.channels = bin_ms, math.ceil(max_ms / bin_ms - 1e-9), channels
        self._parts = {part: self.files.file(Path(data_dir), part) for part in self.files.archives}
        found = {part: read_labels(file, self.files.classes) for part, file in self._parts.items()}
        self.labels = torch.cat([labels for labels, _ in found.values()])
        sizes = [len(labels) for labels, _ in found.values()]
        rows = dict(zip(found, torch.arange(len(self.labels)).split(sizes), strict=True))
        if "valid" in found:
            if val_speakers:
                raise ValueError(f"task.val_speakers are for shd: {dataset} has a validation set of its own")
            train, val = rows["train"], rows["valid"]
        else:
            train, val = split_training_set(*found["train"], val_share, val_speakers, split_seed)
        self._rows = {"train": train, "val": val, "test": rows["test"]}
        super().__init__(len(train), len(val), len(rows["test"]), batch_size, epochs, seed=seed)
        self.spec = TaskSpec("sequence_to_class", channels, self.files.classes, steps=self.steps, spikes=True)
        self._made: EventFrames | None = None

    def prepare_data(self) -> None:
        """Read all files, so that a damaged one is found before training."""
        self._counts()

    def prepare(self, x: Tensor, target: Tensor, random: Generator | None) -> Data:
        """The counts of the recordings with the numbers ``[B]``."""
        return dense_frames(self._counts(), x, self.steps), target

    def part(self, split: str) -> Data:
        """The numbers of the recordings ``[N]``, and their classes."""
        rows = self._rows[split]
        return rows, self.labels[rows]

    def _counts(self) -> EventFrames:
        """The counts of all recordings: training, then validation if it has a file, then test."""
        if self._made is None:
            files = list(self._parts.values())
            settings = {"bin_ms": self.bin_ms, "steps": self.steps, "channels": self.channels}
            places = self.steps * self.channels
            self._made = cached_frames(files[0].parent / "frames", settings, files, places, self._read)
        return self._made

    def _read(self) -> EventFrames:
        return stack_frames(chain.from_iterable(read_counts(file, self._count) for file in self._parts.values()))

    def _count(self, milliseconds: NDArray[Any], unit: NDArray[Any]) -> NDArray[Any]:
        """The numbers of spikes ``[steps · channels]`` of a recording."""
        step = np.floor(milliseconds / self.bin_ms).astype(np.int64)
        place = step * self.channels + unit * self.channels // UNITS
        return np.bincount(place[step < self.steps], minlength=self.steps * self.channels)


def split_training_set(
    labels: Tensor, speakers: Tensor, val_share: float, val_speakers: Sequence[int], split_seed: int
) -> tuple[Tensor, Tensor]:
    """The rows for training and the rows for validation."""
    if not val_speakers:
        return stratified_split(labels, val_share, split_generator("split", split_seed))
    known = sorted({*speakers.tolist()})
    if unknown := [each for each in val_speakers if each not in known]:
        raise ValueError(f"task.val_speakers: no training recording is of {unknown[0]}: choose from {known}")
    held_out = torch.isin(speakers, torch.tensor(list(val_speakers)))
    if bool(held_out.all()):
        raise ValueError("task.val_speakers leave no recording for training")
    return torch.where(~held_out)[0], torch.where(held_out)[0]
