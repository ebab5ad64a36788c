"""The formats in which image data sets are published. The readers return images ``[N, H, W]`` or ``[N, C, H, W]``,
uint8, and classes ``[N]``, int64."""

import bz2
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .checks import beginning_of
from .idx import AGAIN, read_idx

MOST_BYTES = 256 * 1024**2  # maximum unpacked size; the training set of CIFAR has 154 million bytes
Pictures = tuple[Tensor, Tensor]


def read_idx_pair(paths: Sequence[Path], split: str) -> Pictures:
    """Read four IDX files: training images, training labels, test images, test labels."""
    pair = paths[:2] if split == "train" else paths[2:]
    images, labels = (read_idx(path) for path in pair)
    labels = labels[:, 0] if labels.dim() == 2 else labels  # QMNIST: the class, then six columns on its origin
    if images.dim() != 3 or len(images) != len(labels):
        raise ValueError(f"{pair[0]} holds {list(images.shape)} and {pair[1]} {list(labels.shape)}: they do not match")
    return images, labels.long()


def read_cifar10(paths: Sequence[Path], split: str) -> Pictures:
    """Read the binary archive of CIFAR-10: records of the class and 3 × 32 × 32 bytes, in five files and one."""
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] if split == "train" else ["test_batch.bin"]
    return _read_cifar(paths[0], names, labels=1)


def read_cifar100(paths: Sequence[Path], split: str) -> Pictures:
    """Read the binary archive of CIFAR-100: as `read_cifar10`, with a superclass before the class."""
    return _read_cifar(paths[0], [f"{split}.bin"], labels=2)


def _read_cifar(path: Path, names: Sequence[str], labels: int) -> Pictures:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if name in names and member.isfile() and member.size <= MOST_BYTES:
                    found[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): {AGAIN}") from error
    record = labels + 3 * 32 * 32
    for name in names:
        if name not in found or not found[name] or len(found[name]) % record:
            raise ValueError(f"{path} holds no whole {name}: {AGAIN}")
    content = np.frombuffer(b"".join(found[name] for name in names), np.uint8).reshape(-1, record)
    images = torch.from_numpy(content[:, labels:].reshape(-1, 3, 32, 32).copy())
    return images, torch.from_numpy(content[:, labels - 1].astype(np.int64))


def read_usps(paths: Sequence[Path], split: str) -> Pictures:
    """Read a line for each image: the class from 1 to 10, and 256 numbers from -1 to 1, as in ``7 1:-1 2:0.31 ...``."""
    path = paths[0] if split == "train" else paths[1]
    try:
        with bz2.open(path) as file:
            lines = file.read(MOST_BYTES).decode("ascii").splitlines()
        rows = [[float(word.rpartition(":")[2]) for word in line.split()] for line in lines]
        content = torch.tensor(rows, dtype=torch.float64)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({beginning_of(error)}): {AGAIN}") from error
    if content.dim() != 2 or content.shape[1] != 1 + 256:
        raise ValueError(f"{path} holds no images of 256 pixels: {AGAIN}")
    images = ((content[:, 1:] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return images.view(-1, 16, 16), content[:, 0].long() - 1
