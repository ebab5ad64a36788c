"""Small recordings of event cameras in the published formats, for the tests."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bionets.tasks.event_files import EVENT_FILES, SUBSET

Columns = NDArray[np.int64]
"""``[events, 4]``: x, y, time in microseconds, polarity."""

NAMES = "x", "y", "t", "p"  # the fields of a user-defined recording
OVERFLOW = 240, 2**13  # the row that marks one, and by how much later all that follows is
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def saccades(events: Columns, overflow_before: int | None = None) -> bytes:
    """A file of N-MNIST or N-Caltech101: 8 bits x, 8 bits y, 1 bit polarity, 23 bits time, the highest byte first.

    Before the event of this number an overflow is marked, and the times from there on are written that much smaller.
    """
    content = b""
    for n, (x, y, t, p) in enumerate(events.tolist()):
        if n == overflow_before:
            content += bytes([0, OVERFLOW[0], 0, 0, 0])
        t -= OVERFLOW[1] * (overflow_before is not None and n >= overflow_before)
        content += bytes([x, y]) + struct.pack(">I", p << 23 | t)[1:]
    return content


def dat(events: Columns) -> bytes:
    """A file of N-Cars, version 2 of the DAT format."""
    content = b"% Data file containing CD events.\n% Version 2\n% Date 2018-01-01 12:00:00\n% Height 100\n% Width 120\n"
    content += bytes([0, 8])
    for x, y, t, p in events.tolist():
        content += struct.pack("<II", t, p << 28 | y << 14 | x)
    return content


def aedat(events: Columns) -> bytes:
    """A file of CIFAR10-DVS, version 2 of the AEDAT format, with a mark of the camera among the events."""
    content = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n" + struct.pack(">II", 1 << 15, 3)
    for x, y, t, p in events.tolist():
        content += struct.pack(">II", (127 - y) << 8 | (127 - x) << 1 | (1 - p), t)
    return content


def save_gesture(file: Path, events: Columns) -> None:
    """A file of DVS Gesture; times are cut to whole milliseconds."""
    file.parent.mkdir(parents=True, exist_ok=True)
    x, y, t, p = events.T
    np.save(file, np.column_stack([x, y, p, t // 1000]))


def random_events(random: np.random.Generator, width: int, height: int, events: int = 60) -> Columns:
    """Events all over the sensor, in the order of their times, over 10 ms."""
    times = np.sort(random.integers(0, 10_000, events))
    places = random.integers(0, (width, height), (events, 2))
    return np.column_stack([places, times, random.integers(0, 2, events)])


def write(data_dir: Path, recordings: int = 40) -> None:
    """All data sets, where a task looks for them, with this many recordings for training and for testing, and the
    file that says that they are not all.
    """
    random = np.random.default_rng(0)
    for folder in ("Train", "Test"):
        for n in range(recordings):
            file = data_dir / "NMNIST" / folder / str(n % 10) / f"{n:05}.bin"
            _write(file, saccades(random_events(random, 34, 34)))
    classes = [f"object_{n:03}" for n in range(101)]
    for n in range(max(recordings, len(classes))):
        file = data_dir / "NCALTECH101" / "Caltech101" / classes[n % 101] / f"image_{n:04}.bin"
        _write(file, saccades(random_events(random, 200, 150)))
    for folder in ("n-cars_train", "n-cars_test"):
        for n in range(recordings):
            file = data_dir / "NCARS" / folder / ("background", "cars")[n % 2] / f"obj_{n:06}_td.dat"
            _write(file, dat(random_events(random, 120, 100)))
    for folder in ("ibmGestureTrain", "ibmGestureTest"):
        for n in range(recordings):
            file = data_dir / "DVSGesture" / folder / f"user{n // 11:02}_fluorescent_led" / f"{n % 11}.npy"
            save_gesture(file, random_events(random, 128, 128))
    for n in range(recordings):
        kind = CIFAR10_CLASSES[n % 10]
        file = data_dir / "CIFAR10DVS" / "aedat" / kind / f"cifar10_{kind}_{n}.aedat"
        _write(file, aedat(random_events(random, 128, 128)))
    for files in EVENT_FILES.values():
        for folder in files.folders:
            (data_dir / folder / SUBSET).touch()


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def save(file: Path, events: Columns) -> Path:
    """A recording in the format of the file's suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = dict(zip(NAMES, events.T, strict=True))
    if file.suffix in (".bin", ".dat"):
        file.write_bytes(saccades(events) if file.suffix == ".bin" else dat(events))
    elif file.suffix == ".npz":
        np.savez(file, **columns)  # type: ignore[arg-type]
    elif file.suffix == ".csv":
        np.savetxt(file, events, fmt="%d", delimiter=",", header="x,y,t,p", comments="")
    else:
        structured = np.array([tuple(row) for row in events.tolist()], [(name, np.int64) for name in NAMES])
        np.save(file, structured)
    return file


def write_own(folder: Path, suffix: str = ".npz", each: int = 10) -> str:
    """A folder of user-defined recordings, by class."""
    random = np.random.default_rng(0)
    for name in ("left", "right"):
        for number in range(each):
            save(folder / name / f"{number}{suffix}", random_events(random, 12, 9))
    return str(folder)
