"""The files of the Heidelberg spiking data sets: their archives, and reading them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from .archives import Archive, download_and_unpack
from .checks import beginning_of

UNITS = 700  # channels of the model of the cochlea
SOURCE = "https://zenkelab.org/datasets"
AT_ONCE = 512  # number of recordings read at a time
Counts = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class HeidelbergFiles:
    """A published data set.

    folder: folder inside the folder of all data, the same as in tonic.
    archives: the archive of each part: train, valid (not for SHD) and test.
    classes: number of classes.
    """

    name: str
    folder: str
    archives: dict[str, Archive]
    classes: int

    def file(self, data_dir: Path, part: str) -> Path:
        """The file of a part, downloaded if it is missing. Raises ConnectionError if the download fails."""
        place = data_dir / self.folder / f"{self.name}_{part}.h5"
        if not place.is_file():
            download_and_unpack(self.archives[part], place, self.name, SOURCE)
        return place


def _files(name: str, classes: int, **md5: str) -> HeidelbergFiles:
    archives = {
        part: Archive(f"{name}_{part}.h5.zip", f"{SOURCE}/{name}_{part}.h5.zip", digest) for part, digest in md5.items()
    }
    return HeidelbergFiles(name, name.upper(), archives, classes)


HEIDELBERG_FILES = {
    files.name: files
    for files in (
        _files("shd", 20, train="f3252aeb598ac776c1b526422d90eecb", test="1503a5064faa34311c398fb0a1ed0a6f"),
        _files(
            "ssc",
            35,
            train="d102be95e7144fcc0553d1f45ba94170",
            valid="b4eee3516a4a90dd0c71a6ac23a8ae43",
            test="a35ff1e9cffdd02a20eb850c17c37748",
        ),
    )
}


def read_labels(file: Path, classes: int) -> tuple[Tensor, Tensor]:
    """The class and the speaker of each recording, both `[N]`.

    Raises:
        ValueError: the file cannot be read.
    """
    with opened(file) as content:
        labels, speakers = (torch.from_numpy(content[key][:].astype(np.int64)) for key in ("labels", "extra/speaker"))
        if not len(labels) == len(speakers) == len(content["spikes/times"]) == len(content["spikes/units"]) > 0:
            raise ValueError("its parts differ in length, or are empty")
        if int(labels.min()) < 0 or int(labels.max()) >= classes:
            raise ValueError(f"it has classes beyond 0 to {classes - 1}")
    return labels, speakers


def read_counts(file: Path, counts_of: Counts) -> Iterator[NDArray[Any]]:
    """The result of ``counts_of(times in milliseconds, units)`` for each recording.

    Raises:
        ValueError: a file that cannot be read.
    """
    with opened(file) as content:
        times, units = content["spikes/times"], content["spikes/units"]
        starts = range(0, len(times), AT_ONCE)
        for start in track(
            starts, description=f"{file.name}: spikes to counts", transient=True, disable=len(starts) < 9
        ):
            rows = slice(start, start + AT_ONCE)
            for time, unit in zip(times[rows], units[rows], strict=True):
                milliseconds, unit = time.astype(np.float64) * 1000, unit.astype(np.int64)
                if not ((milliseconds >= 0) & (milliseconds < np.inf) & (unit >= 0) & (unit < UNITS)).all():
                    raise ValueError(f"it has spikes before 0 or outside of its {UNITS} units")
                yield counts_of(milliseconds, unit)


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """Open an HDF5 file. Raises ValueError with the file's name if it cannot be read."""
    try:
        import h5py
    except ImportError as error:
        raise ValueError(f"{file.name} needs the package h5py: pip install 'bionets[events]'") from error
    try:
        with h5py.File(file, "r") as content:
            yield content
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is damaged ({beginning_of(error)}): download it again") from error
