"""A small data set in the published format, for the tests."""

import bz2
import gzip
import hashlib
import io
import struct
import tarfile
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


def tar_gz(members: dict[str, bytes]) -> bytes:
    """An archive with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def cifar(classes: int, train: int = 60, test: int = 30) -> bytes:
    """The archive of CIFAR-10 or CIFAR-100 with random images; the class of image n is n modulo classes."""
    generator = torch.Generator().manual_seed(0)

    def records(numbers: Tensor) -> bytes:
        pixels = torch.randint(0, 256, (len(numbers), 3072), dtype=torch.uint8, generator=generator)
        labels = (numbers % classes).to(torch.uint8).unsqueeze(1)
        superclass = [torch.full_like(labels, 7)] if classes == 100 else []
        return torch.cat([*superclass, labels, pixels], 1).numpy().tobytes()

    if classes == 100:
        names = {"train.bin": torch.arange(train), "test.bin": torch.arange(test)}
        folder = "cifar-100-binary"
    else:
        parts = torch.arange(train).chunk(5)
        names = {f"data_batch_{number + 1}.bin": part for number, part in enumerate(parts)}
        names["test_batch.bin"] = torch.arange(test)
        folder = "cifar-10-batches-bin"
    return tar_gz({f"{folder}/readme.html": b"text", **{f"{folder}/{n}": records(part) for n, part in names.items()}})


def usps(size: int) -> bytes:
    """A file of USPS with random images; the class of image n is n modulo 10."""
    values = 2 * torch.rand(size, 256, generator=torch.Generator().manual_seed(0)) - 1
    lines = [
        f"{n % 10 + 1} " + " ".join(f"{place + 1}:{value:.4f}" for place, value in enumerate(row))
        for n, row in enumerate(values.tolist())
    ]
    return bz2.compress("\n".join(lines).encode())


def files_of(name: str, train: int = 60, test: int = 30, **sizes: int) -> list[bytes]:
    """The contents of the files of a data set, in their order."""
    if name.startswith("cifar"):
        return [cifar(IMAGE_FILES[name].classes, train, test)]
    if name == "usps":
        return [usps(train), usps(test)]
    return list(contents(train, test, **sizes).values())


def write(data_dir: Path, name: str = "mnist", **sizes: int) -> None:
    """The files where a task looks for them."""
    (data_dir / name).mkdir(parents=True)
    for file, content in zip(IMAGE_FILES[name].files, files_of(name, **sizes), strict=True):
        (data_dir / name / file).write_bytes(content)


def published_at(*mirrors: str, files: dict[str, bytes]) -> ImageFiles:
    """As if the files had been published at these mirrors."""
    return ImageFiles("mnist", mirrors, {name: hashlib.md5(content).hexdigest() for name, content in files.items()})
