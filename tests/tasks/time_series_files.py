"""Small data sets in the format of the UEA and UCR archives, for the tests."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Series = list[NDArray[Any]]


def write_ts(file: Path, series: Series, labels: list[str], **header: str) -> None:
    """A file of series ``[T, channels]`` with a class each; NaN is written as a missing value."""
    lengths = {len(each) for each in series}
    about = {
        "problemName": file.stem.split("_")[0],
        "timeStamps": "false",
        "missing": "false",
        "univariate": str(series[0].shape[1] == 1).lower(),
        "dimensions": str(series[0].shape[1]),
        "equalLength": str(len(lengths) == 1).lower(),
        "classLabel": " ".join(["true", *sorted(set(labels))]),
        **header,
    }
    lines = ["# A comment", *(f"@{key} {value}" for key, value in about.items()), "@data"]
    for each, label in zip(series, labels, strict=True):
        channels = [",".join("?" if np.isnan(value) else repr(float(value)) for value in channel) for channel in each.T]
        lines.append(":".join([*channels, label]))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def random_series(count: int, seed: int, unequal: bool = True, channels: int = 3) -> Series:
    random = np.random.default_rng(seed)
    lengths = [4 + n % 5 if unequal else 6 for n in range(count)]
    return [5 + 2 * random.normal(size=(length, channels)) for length in lengths]


def write(data_dir: Path, dataset: str, unequal: bool = True, channels: int = 3) -> tuple[Series, Series]:
    """A data set of three classes with 30 series for training and 15 for the test, which it returns, where the task
    looks for it.
    """
    parts = random_series(30, 0, unequal, channels), random_series(15, 1, unequal, channels)
    for part, series in zip(("TRAIN", "TEST"), parts, strict=True):
        labels = ["abc"[n % 3] for n in range(len(series))]
        write_ts(data_dir / "time_series" / dataset / f"{dataset}_{part}.ts", series, labels)
    return parts
