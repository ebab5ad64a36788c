"""The formats in which image data sets are published. The readers return images ``[N, H, W]`` or ``[N, C, H, W]``,
uint8, and classes ``[N]``, int64."""

import bz2
import gzip
import math
import struct
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from .archives import read_to_end
from .checks import beginning_of

IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
MOST_IDX_BYTES = 1024**3  # the largest of the published files has 47 million
AGAIN = "delete it, to have it downloaded again"
MOST_BYTES = 256 * 1024**2  # maximum unpacked size of the others; the training set of CIFAR has 154 million bytes
Pictures = tuple[Tensor, Tensor]


def read_idx(path: Path) -> Tensor:
    """Read the array in an IDX file, which is gzipped if its name ends in .gz.

    The format: two zero bytes, a byte for the type, a byte for the number of dimensions, the dimensions as 32-bit
    integers, and the elements; all numbers are big-endian. Only as many bytes as the dimensions require are unpacked.

    Raises:
        ValueError: the file is truncated or damaged, is not an IDX file, or claims more than `MOST_IDX_BYTES`.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read_idx(path, file)  # type: ignore[arg-type]
    except (EOFError, zlib.error, gzip.BadGzipFile, struct.error) as error:
        raise ValueError(f"{path} is damaged ({error}): {AGAIN}") from error


def _read_idx(path: Path, file: BinaryIO) -> Tensor:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in IDX_TYPES:
        raise ValueError(f"{path} is not an IDX file: {AGAIN}")
    dtype, dimensions = np.dtype(IDX_TYPES[start[2]]), start[3]
    shape = struct.unpack(f">{dimensions}i", file.read(4 * dimensions))
    wanted = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or wanted > MOST_IDX_BYTES:
        raise ValueError(f"{path} claims to hold {list(shape)} numbers: {AGAIN}")
    data = file.read(wanted + 1)  # one more byte, to detect a file that is too long and to make gzip check its checksum
    if len(data) != wanted:
        more = "more than" if len(data) > wanted else f"{len(data)} bytes instead of"
        raise ValueError(f"{path} holds {more} {wanted}: {AGAIN}")
    return torch.from_numpy(np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("=")))


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
            read_to_end(archive)
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
