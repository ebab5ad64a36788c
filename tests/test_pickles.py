"""Data files are data: no reader runs a pickle that one of them holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bionets.experiment.errors import UserError
from bionets.experiment.run.recorded_arrays import read_recorded_arrays
from bionets.tasks import CustomData
from bionets.tasks.custom_events import read_recording
from bionets.tasks.event_formats import read_gesture

KEYS = ("x", "y", "t", "p", "epoch")  # those that one of the readers asks for


class Trap:
    """A pickle of it creates a file when it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def read_data(file: Path) -> None:
    CustomData(str(file))


@pytest.mark.parametrize(
    ("read", "suffix"),
    [
        (read_data, ".pt"),
        (read_data, ".npz"),
        (read_recording, ".npy"),
        (read_recording, ".npz"),
        (read_gesture, ".npy"),
        (read_recorded_arrays, ".npz"),
    ],
)
def test_a_pickle_in_a_data_file_is_never_executed(tmp_path: Path, read: Callable[[Path], object], suffix: str) -> None:
    file, trap = tmp_path / f"data{suffix}", Trap(tmp_path / "trap-was-sprung")
    objects = np.array([trap] * 4, dtype=object)
    if suffix == ".pt":
        torch.save(dict.fromkeys(KEYS, trap), file)
    elif suffix == ".npy":
        np.save(file, objects, allow_pickle=True)
    else:
        np.savez(file, allow_pickle=True, **dict.fromkeys(KEYS, objects))
    with pytest.raises((ValueError, UserError)):
        read(file)
    assert not trap.file.exists()
