"""Small files in the format of the Heidelberg spiking data sets, for the tests."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Recording = tuple[NDArray[Any], NDArray[Any]]
"""Times in seconds, float16, and units, uint16."""


def random_recordings(count: int, seed: int = 0, seconds: float = 0.2) -> list[Recording]:
    random = np.random.default_rng(seed)
    sizes = random.integers(0, 60, count)
    return [
        (np.sort(random.random(size) * seconds).astype(np.float16), random.integers(0, 700, size).astype(np.uint16))
        for size in sizes
    ]


def write_file(file: Path, recordings: list[Recording], labels: list[int], speakers: list[int]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as content:
        for name, place, kind in (("times", 0, np.float16), ("units", 1, np.uint16)):
            spikes = content.create_dataset(f"spikes/{name}", (len(recordings),), h5py.vlen_dtype(kind))
            for number, recording in enumerate(recordings):
                spikes[number] = recording[place]
        content["labels"] = np.array(labels, np.uint16)
        content["extra/speaker"] = np.array(speakers, np.uint16)
        content["extra/keys"] = np.array([f"word {label}".encode() for label in sorted(set(labels))])


def write(data_dir: Path, name: str, recordings: int = 40) -> None:
    """The files of ``shd`` or ``ssc`` where the task looks for them, each with so many recordings of four speakers."""
    classes = {"shd": 20, "ssc": 35}[name]
    for seed, part in enumerate(("train", "test", "valid") if name == "ssc" else ("train", "test")):
        labels = [number % min(classes, 10) for number in range(recordings)]
        speakers = [number // 3 % 4 for number in range(recordings)]
        write_file(data_dir / name.upper() / f"{name}_{part}.h5", random_recordings(recordings, seed), labels, speakers)
