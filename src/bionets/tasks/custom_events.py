"""A user's own recordings of an event camera: a folder with a subfolder of files for each class."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .checks import beginning_of, split_sizes
from .data_files import IMAGE_SUFFIXES, files_by_class
from .event_files import EventFiles
from .event_formats import AXES, Events, read_dat, read_saccades, structured
from .events import EventTask


class CustomEvents(EventTask):
    """Recordings in ``data/<class>/``; for x and the target see `EventTask`.

    Each file is one recording. An event has the column x, the row y, the time t in microseconds and the polarity p
    (positive or not). The formats are ``.npy`` with a structured array of these fields, ``.npz`` with one array for
    each field, ``.csv`` with these names in its header, ``.bin`` in the format of N-MNIST, and ``.dat`` of Prophesee.

    A random share of the recordings is the validation set, and another share is the test set; both are the same for
    every `seed`.

    Args:
        data: the folder.
        sensor: columns and rows of the camera; None: the smallest that fit all recordings, which are all read for this.
        val_share, test_share: shares of the recordings for validation and test.
        split_seed: seed of the random split.
        class_names: a mapping with one entry, which holds the names of the classes in the order of the outputs, as
            stored in a run; None: the sorted classes of the data.
        others: see `EventTask` and `Task`.

    Raises:
        ValueError: the folder does not have recordings of at least two classes, or a file cannot be read.
    """

    advice = "correct it or leave it out; with an event outside of the sensor, give a larger sensor"

    def __init__(
        self,
        data: str | Path,
        sensor: tuple[int, int] | None = None,
        *,
        val_share: float = 0.1,
        test_share: float = 0.1,
        split_seed: int = 0,
        batch_size: int = 32,
        epochs: int = 20,
        stop_below: float | None = None,
        seed: int = 0,
        class_names: Mapping[str, Sequence[str]] | None = None,
        **others: Any,
    ) -> None:
        folder = Path(data)
        self.found = own_recordings(folder)
        self.classes = tuple(sorted({file.parent.name for file, _ in self.found}))
        if class_names:
            (names,) = class_names.values()
            if unknown := [name for name in self.classes if name not in names]:
                known = ", ".join(names[:10])
                raise ValueError(f"task.data={data} has the class {unknown[0]}, which training did not know: {known}")
            self.found = [(file, list(names).index(file.parent.name)) for file, _ in self.found]
            self.classes = tuple(names)
        self.class_names = self.classes
        self.classes_by_target = {"class": self.classes}
        if len(self.classes) < 2:
            raise ValueError(f"task.data={data} must hold a folder of recordings for each of at least two classes")
        if sensor is not None and (len(sensor) != 2 or min(sensor) < 1):
            raise ValueError(f"sensor must be the columns and rows of the camera, as in [34, 34], got {list(sensor)}")
        needed = sensor_of([file for file, _ in self.found]) if sensor is None else (int(sensor[0]), int(sensor[1]))
        shares = split_sizes(len(self.found), val_share, test_share, str(data))
        places, sizes = (str(folder), str(folder)), (len(self.found), len(self.found))
        files = EventFiles(folder.name, places, "", read_recording, needed, len(self.classes), str(folder), sizes)
        super().__init__(
            files, None, *shares, batch_size, epochs, stop_below=stop_below, seed=seed, split_seed=split_seed, **others
        )

    def recordings(self, split: str) -> list[tuple[Path, int]]:
        return self.found


def own_recordings(folder: Path) -> list[tuple[Path, int]]:
    """Every file of recorded events in ``folder/<class>/`` with its class, sorted by name; empty if there are
    images."""
    _, images = files_by_class(folder, IMAGE_SUFFIXES)
    return [] if images else files_by_class(folder, READERS)[1]


def sensor_of(files: list[Path]) -> tuple[int, int]:
    """The smallest numbers of columns and rows that fit all recordings."""
    columns = rows = 1
    for file in files:
        events = read_recording(file)
        if len(events):
            columns, rows = max(columns, int(events["x"].max()) + 1), max(rows, int(events["y"].max()) + 1)
    return columns, rows


def read_recording(file: Path) -> Events:
    """The events of a file. Raises ValueError with the file's name if it cannot be read."""
    try:
        return READERS[file.suffix.lower()](file)
    except Exception as error:  # readers of several packages, on any file
        raise ValueError(
            f"{file} cannot be read as events with x, y, t and p ({beginning_of(error)}); put other sequences into one "
            ".csv (task.sequences) or .npz"
        ) from error


def _structured(columns: dict[str, Any]) -> Events:
    """Events from one array for each of x, y, t and p. Raises ValueError for values that are no events."""
    if len({np.shape(values) for values in columns.values()}) > 1:
        raise ValueError("x, y, t and p differ in length")
    for name, values in columns.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has empty cells, NaN or infinity")
    if any((columns[name] % 1).any() for name in "xy"):
        raise ValueError("x and y must be whole numbers")
    times = columns["t"]
    if (times % 1).any() and np.ptp(times) < 1000:
        raise ValueError("t has fractions and spans less than 1000: give it in microseconds")
    return structured({**columns, "p": columns["p"] > 0})


def _read_npy(file: Path) -> Events:
    content = np.load(file, allow_pickle=False)
    return _structured({name: content[name] for name in AXES})


def _read_npz(file: Path) -> Events:
    with np.load(file, allow_pickle=False) as content:
        return _structured({name: content[name] for name in AXES})


def _read_csv(file: Path) -> Events:
    content: Any = np.atleast_1d(np.genfromtxt(file, delimiter=",", names=True, dtype=np.float64, encoding="utf-8-sig"))
    return _structured({name: content[name] for name in AXES})


READERS = {".npy": _read_npy, ".npz": _read_npz, ".csv": _read_csv, ".bin": read_saccades, ".dat": read_dat}
