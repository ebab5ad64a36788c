"""The formats in which recordings of event cameras are published. The readers raise ValueError for a damaged file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Events = NDArray[Any]
"""A structured array with a row for each event: x, y, t (microseconds) and p (0 or 1)."""

AXES = ("x", "y", "t", "p")


def structured(columns: Mapping[str, Any]) -> Events:
    """Events from one array for each of x, y, t and p."""
    events = np.empty(len(columns["x"]), [(name, np.int64) for name in AXES])
    for name in AXES:
        events[name] = columns[name]
    return events


def read_saccades(file: Path) -> Events:
    """Read a recording of N-MNIST or N-Caltech101: 40 bits for each event."""
    from tonic.io import read_mnist_file

    if file.stat().st_size % 5:
        raise ValueError("it is truncated")
    columns = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
    return read_mnist_file(str(file), dtype=columns)


def read_dat(file: Path) -> Events:
    """Read a recording in Prophesee's DAT format, which N-Cars uses, with the same reader as tonic."""
    from expelliarmus import Wizard

    content = file.read_bytes()
    start = _past_comments(content, b"%")
    if (len(content) - start - 2) % 8 or len(content) < start + 2:  # two bytes, then 64 bits for each event
        raise ValueError("it is truncated")
    return Wizard(encoding="dat").read(file)


def read_gesture(file: Path) -> Events:
    """Read a recording of DVS Gesture as distributed by tonic: rows of x, y, polarity and milliseconds."""
    content = np.load(file, allow_pickle=False)
    if content.ndim != 2 or content.shape[1] != 4:
        raise ValueError(f"it must be an array [events, 4], and is {list(content.shape)}")
    x, y, p, milliseconds = content.T
    return structured({"x": x, "y": y, "t": milliseconds.astype(np.float64) * 1000, "p": p})


def read_dvs128(file: Path) -> Events:
    """Read a recording of the camera DVS128 in the format AEDAT 2.0, which CIFAR10-DVS uses. An event is a 32-bit
    address and a 32-bit time in microseconds, both big-endian. In the address, bit 0 is set if the brightness
    decreased, bits 1 to 7 are the column from the right, and bits 8 to 14 the row from the bottom. Entries with any
    further bit set are not events.
    """
    content = file.read_bytes()
    if content.startswith(b"#!AER-DAT") and not content.startswith(b"#!AER-DAT2"):
        raise ValueError("it is not of version 2.0 of the AEDAT format")
    start = _past_comments(content, b"#")
    if (len(content) - start) % 8:
        raise ValueError("it is truncated")
    address, time = np.frombuffer(content, ">u4", offset=start).reshape(-1, 2).astype(np.int64).T
    valid = address < 1 << 15
    address = address[valid]
    x, y = 127 - (address >> 1 & 127), 127 - (address >> 8 & 127)
    return structured({"x": x, "y": y, "t": time[valid], "p": 1 - (address & 1)})


def _past_comments(content: bytes, sign: bytes) -> int:
    """The position after the initial lines that start with ``sign``."""
    start = 0
    while content[start : start + 1] == sign:
        start = content.find(b"\n", start) + 1 or len(content)
    return start
