"""The IDX format, in which MNIST and similar data sets are published."""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
MOST_BYTES = 1024**3  # the largest of the published files has 47 million
AGAIN = "delete it, to have it downloaded again"


def read_idx(path: Path) -> Tensor:
    """Read the array in an IDX file, which is gzipped if its name ends in .gz.

    The format: two zero bytes, a byte for the type, a byte for the number of dimensions, the dimensions as 32-bit
    integers, and the elements; all numbers are big-endian. Only as many bytes as the dimensions require are unpacked.

    Raises:
        ValueError: the file is truncated or damaged, is not an IDX file, or its header gives more than `MOST_BYTES`.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read(path, file)  # type: ignore[arg-type]
    except (EOFError, zlib.error, gzip.BadGzipFile, struct.error) as error:
        raise ValueError(f"{path} is damaged ({error}): {AGAIN}") from error


def _read(path: Path, file: BinaryIO) -> Tensor:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES:
        raise ValueError(f"{path} is not an IDX file: {AGAIN}")
    dtype, dimensions = np.dtype(TYPES[start[2]]), start[3]
    shape = struct.unpack(f">{dimensions}i", file.read(4 * dimensions))
    wanted = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or wanted > MOST_BYTES:
        raise ValueError(f"{path} claims to hold {list(shape)} numbers: {AGAIN}")
    data = file.read(wanted + 1)  # one more byte, to detect a file that is too long and to make gzip check its checksum
    if len(data) != wanted:
        more = "more than" if len(data) > wanted else f"{len(data)} bytes instead of"
        raise ValueError(f"{path} holds {more} {wanted}: {AGAIN}")
    return torch.from_numpy(np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("=")))
