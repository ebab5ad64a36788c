"""The IDX format in which MNIST and its relatives are published."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: Path) -> Tensor:
    """The array in an IDX file, gzipped if its name ends in .gz.

    The format: two zero bytes, a byte for the type, one for the number of dimensions, the dimensions as 32-bit
    integers, and the elements, everything big-endian.

    Raises:
        ValueError: the file is truncated or damaged, or is no IDX file.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it, to have it downloaded again") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES:
        raise ValueError(f"{path} is no IDX file: delete it, to have it downloaded again")
    dtype, dimensions = np.dtype(TYPES[content[2]]), content[3]
    shape = np.frombuffer(content[4 : 4 + 4 * dimensions], ">i4").tolist()
    data = content[4 + 4 * dimensions :]
    wanted = int(np.prod(shape)) * dtype.itemsize
    if len(shape) < dimensions or len(data) != wanted:
        raise ValueError(f"{path} holds {len(data)} bytes instead of {wanted}: delete it, to have it downloaded again")
    return torch.from_numpy(np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("=")))
