"""The environment of a run: machine, versions, and settings of the memory allocator."""

import ctypes
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "bionets",
    "lightning",
    "hydra-core",
    "omegaconf",
    "torchmetrics",
    "llvmlite",
    "numba",
    "numpy",
    "wandb",
)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc, malloc.h


def describe(
    device: torch.device,
    own_files: Mapping[str, str] | None = None,
    class_names: Mapping[str, Any] | None = None,
    columns: Sequence[str] = (),
) -> dict[str, Any]:
    """Git commit and dirty flag, versions, device and threads, as needed to reproduce a run.

    The commit is that of the checkout of bionets. If bionets is an installed package, it is that of the repository of
    the working directory, and None if there is none.

    Args:
        device: the device on which the run is trained.
        own_files: see `bionets.experiment.run.own_files.own_files`.
        class_names: the names of the classes of the user's own data, see `CustomData`.
        columns: the columns of the user's own CSV that are inputs.
    """
    # A file outside a checkout, or in an environment that lies within another repository, is not tracked.
    tracked = _git(Path(__file__).parent, "ls-files", "--error-unmatch", Path(__file__).name) is not None
    repository = Path(__file__).parent if tracked else Path.cwd()
    return {
        "git_commit": _git(repository, "rev-parse", "HEAD"),
        "git_dirty": bool(_git(repository, "status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version_of(name) for name in PACKAGES} | {"torch": torch.__version__},  # with that of CUDA
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "own_files": dict(own_files or {}),
        "class_names": dict(class_names or {}),
        "columns": list(columns),
    }


def keep_large_buffers() -> None:
    """Let glibc's allocator keep the memory of large freed tensors instead of returning it to the system.

    Every training step allocates the same large buffers again; the page faults of fresh memory cost more time than the
    arithmetic on it. Does nothing with other allocators.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        return subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, encoding="utf-8", check=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def version_of(package: str) -> str | None:
    """The version of an installed package, else None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
