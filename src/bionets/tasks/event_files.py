"""The recordings of N-MNIST, N-Caltech101 and N-Cars: where they lie, and how their files are read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Events = NDArray[Any]
"""A structured array with a row for each event: x, y, t (microseconds) and p (0 or 1)."""


def read_saccades(file: Path) -> Events:
    """A recording of N-MNIST or N-Caltech101: 40 bits for an event."""
    from tonic.io import read_mnist_file

    columns = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
    return read_mnist_file(str(file), dtype=columns)


def read_dat(file: Path) -> Events:
    """A recording in Prophesee's DAT format, as N-Cars has it, through the reader that tonic uses."""
    from expelliarmus import Wizard

    return Wizard(encoding="dat").read(file)


@dataclass(frozen=True)
class EventFiles:
    """A data set as it is published.

    folders: those of the training and the test recordings, each with a folder for every class; the same twice where
        the publishers made no such split.
    sensor: columns and rows of the largest recording.
    classes: how many there are.
    tonic_name: the data set in tonic.datasets, which can download it; None where it must be asked for.
    """

    name: str
    folders: tuple[str, str]
    suffix: str
    read: Callable[[Path], Events]
    sensor: tuple[int, int]
    classes: int
    source: str
    tonic_name: str | None = None

    @property
    def split_by_publisher(self) -> bool:
        return self.folders[0] != self.folders[1]


SACCADES = "https://www.garrickorchard.com/datasets"
EVENT_FILES = {
    files.name: files
    for files in (
        EventFiles("n_mnist", ("NMNIST/Train", "NMNIST/Test"), ".bin", read_saccades, (34, 34), 10, SACCADES, "NMNIST"),
        EventFiles(
            "n_caltech101",
            ("NCALTECH101/Caltech101", "NCALTECH101/Caltech101"),
            ".bin",
            read_saccades,
            (240, 180),
            101,
            SACCADES,
            "NCALTECH101",
        ),
        EventFiles(
            "n_cars",
            ("NCARS/n-cars_train", "NCARS/n-cars_test"),
            ".dat",
            read_dat,
            (120, 100),
            2,
            "https://www.prophesee.ai/dataset-n-cars-download",
        ),
    )
}


def recordings(files: EventFiles, data_dir: Path, split: str) -> list[tuple[Path, int]]:
    """Every recording of ``split`` ("train" or "test") with its class, in the order of their names.

    The classes are numbered in the order of their folders' names. What is missing is downloaded where it can be.

    Raises:
        FileNotFoundError: there are no recordings, and nobody to download them from.
        ValueError: more or fewer classes than the data set has.
    """
    folder = data_dir / files.folders[split == "test"]
    if not folder.is_dir():
        _download(files, data_dir, folder, split)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if len(names) != files.classes:
        raise ValueError(f"{folder} must hold a folder for each of the {files.classes} classes, it has {len(names)}")
    return [
        (file, label) for label, name in enumerate(names) for file in sorted((folder / name).glob(f"*{files.suffix}"))
    ]


def _download(files: EventFiles, data_dir: Path, folder: Path, split: str) -> None:
    if files.tonic_name is None:
        raise FileNotFoundError(f"{folder} is missing: get {files.name} from {files.source} and unpack it there")
    import tonic.datasets

    options = {"train": split == "train"} if files.split_by_publisher else {}
    try:
        getattr(tonic.datasets, files.tonic_name)(save_to=str(data_dir), **options)
    except (OSError, RuntimeError) as error:
        raise ConnectionError(
            f"{files.name} could not be downloaded ({' '.join(str(error).split())[:100]}): get it from {files.source} "
            f"and unpack it so that there is {folder}, or name another folder with paths.data_dir or BIONETS_DATA"
        ) from error
