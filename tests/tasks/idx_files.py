"""A small data set in the published format, for the tests."""

import gzip
import hashlib
import struct
from pathlib import Path

import torch
from torch import Tensor

from bionets.tasks.image_files import IMAGE_FILES, ImageFiles

NAMES = [f"{split}-{kind}.gz" for split in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]


def idx(array: Tensor, code: int = 8) -> bytes:
    """An array of bytes (code 8) or 32-bit integers (code 12) as an IDX file."""
    header = struct.pack(f">BBBB{array.dim()}i", 0, 0, code, array.dim(), *array.shape)
    return header + array.numpy().astype({8: ">u1", 12: ">i4"}[code]).tobytes()


def contents(train: int = 60, test: int = 30, side: int = 28) -> dict[str, bytes]:
    """The four files of random square images and labels."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for (images, labels), size in zip((NAMES[:2], NAMES[2:]), (train, test), strict=True):
        pictures = torch.randint(0, 256, (size, side, side), dtype=torch.uint8, generator=generator)
        made[images] = gzip.compress(idx(pictures), mtime=0)
        made[labels] = gzip.compress(idx(torch.arange(size, dtype=torch.uint8) % 10), mtime=0)
    return made


def write(data_dir: Path, name: str = "mnist", **sizes: int) -> None:
    """The four files where a task looks for them."""
    (data_dir / name).mkdir(parents=True)
    for file, content in zip(IMAGE_FILES[name].files, contents(**sizes).values(), strict=True):
        (data_dir / name / file).write_bytes(content)


def published_at(*mirrors: str, files: dict[str, bytes]) -> ImageFiles:
    """As if the files had been published at these mirrors."""
    return ImageFiles("mnist", mirrors, {name: hashlib.md5(content).hexdigest() for name, content in files.items()})
