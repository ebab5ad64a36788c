"""Validation of a checkpoint before anything is built from it."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bionets.experiment.nested import nested_values

# The entries of a checkpoint that Lightning's Trainer needs to resume, and their types.
PARTS: dict[str, type] = {
    "state_dict": dict,
    "epoch": int,
    "global_step": int,
    "callbacks": dict,
    "loops": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
}
COUNTS = ("ready", "started", "processed", "completed", "is_last_batch", "_batches_that_stepped")  # of its loops


def damage_of_file(path: Path) -> str | None:
    """The damage of a checkpoint file; None if every record has the checksum (CRC-32) that was written with it, which
    `torch.load` does not check.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for record in archive.infolist():
                if record.compress_type != zipfile.ZIP_STORED or record.file_size > path.stat().st_size:
                    return "it is truncated or was not written by bionets"
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error):
        return "it is truncated or was not written by bionets"
    return None if damaged is None else f"it is damaged in {damaged[:60]!r}"


def fault_of_content(checkpoint: Mapping[str, Any]) -> str | None:
    """The fault of the content of a checkpoint; None if it has all its parts and no weight is NaN."""
    for key, kind in PARTS.items():
        if key not in checkpoint:
            return f"it has no {key}"
        value = checkpoint[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            return f"its {key} is a {type(value).__name__}"
        if isinstance(value, int) and value < 0:
            return f"its {key} is {value}"
    if "fit_loop" not in checkpoint["loops"]:  # Lightning would start again at step 0 with these weights
        return "its loops have no fit_loop"
    loops = nested_values(checkpoint["loops"])
    counts = (value for key, value in loops if key.rpartition(".")[2] in COUNTS)
    if not all(type(value) in (int, bool) and 0 <= value < 2**63 for value in counts):
        return "its loops hold something other than counts"
    for part in ("state_dict", "optimizer_states", "callbacks"):
        for value in (value for _, value in nested_values(checkpoint[part]) if isinstance(value, Tensor)):
            if value.layout is not torch.strided or value.is_nested or value.is_meta:
                return f"its {part} holds a tensor that is not dense"
            if _stored(value).numel() > value.untyped_storage().nbytes():
                return f"its {part} holds a tensor of overlapping values"
    for name, value in _weights(checkpoint["state_dict"]):
        if not isinstance(name, str) or not isinstance(value, Tensor):
            return "its state_dict holds something other than tensors"
        if value.is_floating_point() and bool(torch.isnan(_stored(value)).any()):
            return f"its weights {name} are NaN"
    return None


def _stored(tensor: Tensor) -> Tensor:
    """The values of a tensor, without the repetitions along expanded dimensions: a small file can hold 1e12 of them."""
    return tensor[tuple(slice(1) if stride == 0 else slice(None) for stride in tensor.stride())]


def _weights(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    # The extra state of a module (`get_extra_state`) is in the same mapping, and need not be tensors.
    return ((name, value) for name, value in state.items() if not str(name).endswith("_extra_state"))
