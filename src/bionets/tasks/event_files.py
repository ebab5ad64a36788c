"""The recordings of N-MNIST, N-Caltech101 and N-Cars: where they lie, and how their files are read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from .download import download
from .unpack import unpack

Events = NDArray[Any]
"""A structured array with a row for each event: x, y, t (microseconds) and p (0 or 1)."""


@dataclass(frozen=True)
class Archive:
    """A zip file that can be downloaded; ``inner`` is the zip file within it that has the recordings."""

    name: str
    url: str
    md5: str
    inner: str | None = None


def read_saccades(file: Path) -> Events:
    """A recording of N-MNIST or N-Caltech101: 40 bits for an event."""
    from tonic.io import read_mnist_file

    if file.stat().st_size % 5:
        raise ValueError("it is cut off")
    columns = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
    return read_mnist_file(str(file), dtype=columns)


def read_dat(file: Path) -> Events:
    """A recording in Prophesee's DAT format, as N-Cars has it, through the reader that tonic uses."""
    from expelliarmus import Wizard

    content = file.read_bytes()
    header = 0
    while content[header : header + 1] == b"%":
        header = content.find(b"\n", header) + 1 or len(content)
    if (len(content) - header - 2) % 8 or len(content) < header + 2:  # two bytes, then 64 bits for an event
        raise ValueError("it is cut off")
    return Wizard(encoding="dat").read(file)


@dataclass(frozen=True)
class EventFiles:
    """A data set as it is published.

    folders: those of the training and the test recordings, each with a folder for every class; the same twice where
        the publishers made no such split.
    sensor: columns and rows of the largest recording.
    classes: how many there are.
    recordings: how many there are for training and for testing; the same number twice where there is no such split.
    archives: of the training and the test recordings; None where the set must be asked for.
    """

    name: str
    folders: tuple[str, str]
    suffix: str
    read: Callable[[Path], Events]
    sensor: tuple[int, int]
    classes: int
    source: str
    recordings: tuple[int, int]
    archives: tuple[Archive, Archive] | None = None

    @property
    def split_by_publisher(self) -> bool:
        return self.folders[0] != self.folders[1]


SACCADES = "https://www.garrickorchard.com/datasets"
MENDELEY = "https://data.mendeley.com/public-files/datasets"
N_MNIST = (
    Archive(
        "train.zip",
        f"{MENDELEY}/468j46mzdv/files/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
        "20959b8e626244a1b502305a9e6e2031",
    ),
    Archive(
        "test.zip",
        f"{MENDELEY}/468j46mzdv/files/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
        "69ca8762b2fe404d9b9bad1103e97832",
    ),
)
N_CALTECH101 = Archive(
    "N-Caltech101-archive.zip",
    f"{MENDELEY}/cy6cvx3ryv/files/36b5c52a-b49d-4853-addb-a836a8883e49/file_downloaded",
    "66201824eabb0239c7ab992480b50ba3",
    inner="Caltech101.zip",
)
EVENT_FILES = {
    files.name: files
    for files in (
        EventFiles(
            "n_mnist",
            ("NMNIST/Train", "NMNIST/Test"),
            ".bin",
            read_saccades,
            (34, 34),
            10,
            SACCADES,
            (60_000, 10_000),
            N_MNIST,
        ),
        EventFiles(
            "n_caltech101",
            ("NCALTECH101/Caltech101", "NCALTECH101/Caltech101"),
            ".bin",
            read_saccades,
            (240, 180),
            101,
            SACCADES,
            (8_709, 8_709),
            (N_CALTECH101, N_CALTECH101),
        ),
        EventFiles(
            "n_cars",
            ("NCARS/n-cars_train", "NCARS/n-cars_test"),
            ".dat",
            read_dat,
            (120, 100),
            2,
            "https://www.prophesee.ai/dataset-n-cars-download",
            (15_422, 8_607),
        ),
    )
}
SUBSET = "SUBSET"  # a file of this name says that recordings are missing on purpose
MOST_BYTES = 16 * 1024**3  # of an archive


def recordings(files: EventFiles, data_dir: Path, split: str) -> list[tuple[Path, int]]:
    """Every recording of ``split`` ("train" or "test") with its class, in the order of their names.

    The classes are numbered in the order of their folders' names. What is missing is downloaded where it can be. A
    folder with fewer recordings than were published is refused, unless there is a file ``SUBSET`` in it.

    Raises:
        FileNotFoundError: there are no recordings, and nobody to download them from.
        ValueError: more or fewer classes or recordings than the data set has.
    """
    folder = data_dir / files.folders[split == "test"]
    if not folder.is_dir():
        _download(files, folder, split)
    again = "delete it, to have it unpacked again" if files.archives else f"get it anew from {files.source}"
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if len(names) != files.classes:
        raise ValueError(
            f"{folder} must hold a folder for each of the {files.classes} classes, it has {len(names)}: {again}"
        )
    found = [
        (file, label) for label, name in enumerate(names) for file in sorted((folder / name).glob(f"*{files.suffix}"))
    ]
    published = files.recordings[split == "test"]
    if len(found) != published and not (folder / SUBSET).exists():
        raise ValueError(
            f"{folder} holds {len(found)} of {published} recordings: {again}; "
            f"where that is on purpose, put an empty file {SUBSET} into it"
        )
    return found


def _download(files: EventFiles, folder: Path, split: str) -> None:
    if files.archives is None:
        raise FileNotFoundError(f"{folder} is missing: get {files.name} from {files.source} and unpack it there")
    archive = files.archives[split == "test"]
    file = folder.parent / archive.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / ".lock"):  # one process
        if folder.is_dir():  # another process was faster
            return
        try:
            if not file.is_file():
                download([archive.url], file, archive.md5, MOST_BYTES)
        except ConnectionError as error:
            raise ConnectionError(
                f"{files.name} could not be downloaded ({error}): get it from {files.source} and unpack it so that "
                f"there is {folder}, or name another folder with paths.data_dir or BIONETS_DATA"
            ) from error
        unpack(file, folder, archive.inner)
