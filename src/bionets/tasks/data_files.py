"""Arrays of a user's own data from a file, .pt, .safetensors or .npz, or from a folder of images by class."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from .checks import beginning_of

SUFFIXES = (".pt", ".pth", ".safetensors", ".npz", ".csv")
NAME_THEM = ": name them by task.inputs=[...] and task.targets=..."
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


@dataclass(frozen=True)
class Arrays:
    """Samples along the first dimension: `x` `[N, ...]`, `y` `[N]` or `[N, ...]`. `classes` names the classes if `y`
    was text. `lengths` `[N]` are the numbers of steps of the sequences if they differ. `count` is the number of
    classes; 0: inferred from the targets. `every_step` says that `y` has a target for each step of a sequence. `names`
    are those of the samples, and `columns` those of the inputs in a CSV, if they have any."""

    x: Tensor
    y: Tensor
    classes: tuple[str, ...] = ()
    lengths: Tensor | None = None
    count: int = 0
    every_step: bool = False
    names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


def read_arrays(
    path: Path,
    inputs: Sequence[str],
    targets: str,
    lengths: str | None,
    fit: Callable[[Tensor], Tensor],
) -> Arrays:
    """Read a file of arrays or a folder of images.

    Args:
        path: `.pt` (a dict of tensors, or a tuple of two), `.safetensors`, `.npz`, or a folder with a subfolder of
            images for each class.
        inputs: the key of the inputs; empty: `x`.
        targets: the key of the targets.
        lengths: the key of the lengths of the sequences; None: all have the length of `x`.
        fit: called with each image ``[1, C, H, W]`` of a folder, returns it in the common size and colour.

    Raises:
        ValueError: the file does not exist, its format is unknown, or a name is missing.
    """
    if path.is_dir():
        return _image_folder(path, fit)
    if not path.is_file():
        raise ValueError(f"task.data={path} does not exist")
    readers = {".pt": _torch, ".pth": _torch, ".safetensors": _safetensors, ".npz": _numpy}
    if path.suffix not in readers:
        raise ValueError(f"task.data={path}: a file must end in .csv, {', '.join(readers)}")
    names = [inputs[0] if inputs else "x", targets, *([lengths] if lengths else [])]
    try:
        keys, found = readers[path.suffix](path, names)
    except MemoryError:
        raise
    except Exception as error:  # readers of several packages, on any file
        raise ValueError(f"task.data={path} cannot be read as arrays ({beginning_of(error)})") from error
    if missing := [name for name in names if name not in found]:
        hint = NAME_THEM if keys and missing[0] != lengths else ""
        raise ValueError(f"task.data={path} has no {missing[0]!r}: it has {', '.join(sorted(keys)) or 'nothing'}{hint}")
    classes: tuple[str, ...] = ()
    if isinstance(found[targets], np.ndarray) and found[targets].dtype.kind == "U":
        words, numbers = np.unique(found[targets], return_inverse=True)
        classes, found[targets] = tuple(words.tolist()), numbers.reshape(found[targets].shape)
    x, y, *own_lengths = (_as_real(found[name], f"task.data={path}: {name}") for name in names)
    return Arrays(exact(x), as_targets(y), classes, own_lengths[0] if lengths else None)


def _as_real(value: Any, name: str) -> Tensor:
    """The value as a tensor; integers as int64, in which all operations exist."""
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        kind = getattr(value, "dtype", type(value).__name__)
        raise ValueError(f"{name} must be an array of numbers, got {kind}") from None
    if tensor.layout != torch.strided:
        raise ValueError(f"{name} is sparse: save it as a dense array")
    if tensor.is_complex() or tensor.dim() == 0 or tensor.numel() == 0:
        raise ValueError(f"{name} must be a non-empty array of real numbers, got {tensor.dtype} {list(tensor.shape)}")
    if tensor.is_floating_point():
        return tensor.detach()
    whole = tensor.long()
    if tensor.dtype == torch.uint64 and bool((whole < 0).any()):
        raise ValueError(f"{name} holds whole numbers of 2^63 or more: save it as floating-point numbers")
    return whole


Found = tuple[Collection[str], dict[str, Any]]
"""The keys of a file, and the values of those that were asked for."""


def _torch(path: Path, names: Sequence[str]) -> Found:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:  # the message of torch advises to run the code in the file
        raise ValueError("it is damaged, or holds other objects than tensors: save a dict of tensors") from error
    if isinstance(content, tuple | list) and len(content) == 2:
        content = dict(zip(("x", "y"), content, strict=True))
    if not isinstance(content, dict):
        raise ValueError("it must hold a dict of tensors, or a tuple of inputs and targets")
    return [str(key) for key in content], {name: content[name] for name in names if name in content}


def _safetensors(path: Path, names: Sequence[str]) -> Found:
    content = load_file(path)
    return content.keys(), {name: content[name] for name in names if name in content}


def _numpy(path: Path, names: Sequence[str]) -> Found:
    with np.load(path, allow_pickle=False) as content:
        found = {name: content[name] for name in names if name in content.files}
    native = {name: each.astype(each.dtype.newbyteorder("="), copy=False) for name, each in found.items()}
    return content.files, native


def exact(x: Tensor) -> Tensor:
    """The inputs in float32, or in float64 if float32 would round them, so that they are standardised before."""
    single = x.float()
    return single if x.dtype == torch.float32 or torch.equal(single.to(x.dtype), x) else x.double()


def as_targets(y: Tensor) -> Tensor:
    """The targets as int64 if they are integers, or whole numbers of at least 0 and below 2^63 in float64 ``[N]`` (a
    column of a CSV), otherwise as float32."""
    if not y.is_floating_point():
        return y.long()
    whole = y.dtype == torch.float64 and y.dim() == 1 and bool(((y == y.round()) & (y >= 0) & (y < 2.0**63)).all())
    return y.long() if whole else y.float()


def _image_folder(path: Path, fit: Callable[[Tensor], Tensor]) -> Arrays:
    from PIL import Image, ImageOps  # installed with matplotlib

    classes, files = files_by_class(path, IMAGE_SUFFIXES)
    if len(classes) < 2:
        raise ValueError(
            f"task.data={path} must hold a folder of images for each of at least two classes; the names of images end "
            f"in {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    images = []
    for file, _ in files:
        try:
            with Image.open(file) as image:
                pixels = _pixels(ImageOps.exif_transpose(image))  # cameras store the side that is up apart
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file} cannot be read as an image ({beginning_of(error)})") from error
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        images.append(fit(torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0))[0])
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        sizes = " and ".join(" × ".join(map(str, shape)) for shape in sorted(shapes)[:2])
        raise ValueError(
            f"task.data={path}: all images must have one size, found {sizes} (channels × height × width): "
            "choose one, as in task.size=[32,32], and task.colour=gray or colour"
        )
    names = tuple(file.relative_to(path).as_posix() for file, _ in files)
    return Arrays(torch.stack(images), torch.tensor([number for _, number in files]), classes, names=names)


def _pixels(image: Any) -> "np.ndarray[Any, Any]":
    """Pixels from 0 to 1, ``[H, W]`` or ``[H, W, 3]``. Pillow would clip 16 and 32 bits to 8."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.float32) / 65535
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits: save it with 8 or 16, or all images as arrays in one file")
    return np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB")).astype(np.float32) / 255


def files_by_class(folder: Path, suffixes: Collection[str]) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    """The classes, which are the names of the subfolders that contain files with these suffixes, and each such file
    with the number of its class. Hidden folders and files are ignored.
    """
    found = {
        each.name: [file for file in sorted(each.iterdir()) if file.suffix.lower() in suffixes and file.name[0] != "."]
        for each in sorted(folder.iterdir(), key=lambda each: each.name)  # Windows sorts paths otherwise
        if each.is_dir() and each.name[0] != "."
    }
    classes = tuple(name for name, files in found.items() if files)
    return classes, [(file, number) for number, name in enumerate(classes) for file in found[name]]
