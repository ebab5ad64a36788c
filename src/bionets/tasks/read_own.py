"""Arrays of a user's own data, from the file, folder or data set that `task.data` names."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from .csv_table import read_csv
from .data_files import SUFFIXES, Arrays, read_arrays
from .dataset_arrays import arrays_of_dataset


def is_file(data: str) -> bool:
    """Whether `task.data` is the path of a file or folder, and not an import path."""
    return Path(data).exists() or Path(data).suffix in SUFFIXES or "/" in data


def read_own(
    data: str,
    targets: Mapping[str, str | None],
    inputs: Sequence[str],
    sequences: str | None,
    sort_by: str | None,
    lengths: str | None,
    fit: Callable[[Tensor], Tensor],
    arguments: Mapping[str, Any],
    known: Mapping[str, int | Sequence[str]],
) -> list[Arrays]:
    """Read the inputs with each of the targets.

    Args:
        data, inputs, sequences, sort_by, lengths, arguments: see `CustomData`.
        targets: the name and the `TargetKind` of each target; None: inferred.
        fit: called with each image ``[1, C, H, W]`` of a folder, returns it in the common size and colour.
        known: for each target, see `with_classes`.

    Raises:
        ValueError: the data cannot be read, or an option is for other data.
    """
    path = Path(data)
    if sort_by is not None and (sequences is None or path.suffix != ".csv"):
        raise ValueError("task.sort_by is for the sequences of a CSV (task.sequences): leave it out")
    if not is_file(data):
        return arrays_of_dataset(data, targets, arguments, known)
    if path.is_dir() and len(targets) > 1:
        raise ValueError(f"task.data={data}: a folder of images has one target, the class")
    if path.is_file() and path.suffix == ".csv":
        if lengths:
            raise ValueError("task.lengths is for files of arrays: a sequence of a CSV is as long as it has rows")
        every_step = {name: None if kind is None else kind.endswith("every_step") for name, kind in targets.items()}
        return [
            read_csv(path, inputs, name, sequences, sort_by, tuple(targets), each) for name, each in every_step.items()
        ]
    if path.is_file() and path.suffix in SUFFIXES and (sequences or len(inputs) > 1):
        raise ValueError(f"task.data={data}: task.sequences and several task.inputs are for a CSV, leave them out")
    return [read_arrays(path, inputs, name, lengths, fit) for name in targets]
