"""Validation of a checkpoint before anything is built from it."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

BLOCK = 1024 * 1024

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


def damage_of_file(path: Path) -> str | None:
    """The damage of a checkpoint file; None if every record has the checksum (CRC-32) that was written with it, which
    `torch.load` does not check.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for record in archive.infolist():
                if record.compress_type != zipfile.ZIP_STORED or record.file_size > path.stat().st_size:
                    return "it is truncated or was not written by bionets"
                with archive.open(record) as content:
                    while content.read(BLOCK):
                        pass
    except zipfile.BadZipFile as error:
        if "CRC" in str(error):
            return f"it is damaged: {' '.join(str(error).split())}"
        return "it is truncated or was not written by bionets"
    except (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error):
        return "it is truncated or was not written by bionets"
    return None


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
    for name, value in _weights(checkpoint["state_dict"]):
        if not isinstance(name, str) or not isinstance(value, Tensor):
            return "its state_dict holds something other than tensors"
        if value.is_floating_point() and bool(torch.isnan(value).any()):
            return f"its weights {name} are NaN"
    return None


def _weights(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    # The extra state of a module (`get_extra_state`) is in the same mapping, and need not be tensors.
    return ((name, value) for name, value in state.items() if not str(name).endswith("_extra_state"))
