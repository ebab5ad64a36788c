"""Conversion of images to another size or colour, and to sequences."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

COLOURS = {"gray": 1, "colour": 3}
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue, as in ITU-R BT.601

Shape = tuple[int, int, int]
"""Channels, height and width."""


def check_layout(shape: Shape, read_as: str, patch: int, size: Sequence[int] | None, colour: str | None) -> Shape:
    """The shape of images after conversion to ``size`` and ``colour``. Raises ValueError if impossible."""
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"task.size must be height and width, as in task.size=[32,32], got {list(size)}")
    if colour is not None and colour not in COLOURS:
        raise ValueError(f"task.colour={colour} is unknown: choose {' or '.join(COLOURS)}")
    if colour is not None and shape[0] not in (1, 3):
        raise ValueError(f"task.colour needs images of 1 or 3 channels, and these have {shape[0]}")
    height, width = shape[1:] if size is None else size
    if read_as == "patches" and (patch < 1 or height % patch or width % patch):
        raise ValueError(f"task.patch={patch} does not divide images of {height} × {width}")
    return shape[0] if colour is None else COLOURS[colour], height, width


def resized(images: Tensor, size: Sequence[int] | None) -> Tensor:
    """Scale images ``[N, C, H, W]`` to a height and width by bilinear interpolation, with antialiasing."""
    if size is None or tuple(images.shape[2:]) == tuple(size):
        return images
    return functional.interpolate(images, tuple(size), mode="bilinear", antialias=True, align_corners=False)


def in_colour(images: Tensor, colour: str | None) -> Tensor:
    """Convert images ``[N, C, H, W]`` to one channel (``gray``) or three (``colour``)."""
    if colour is None or images.shape[1] == COLOURS[colour]:
        return images
    if colour == "colour":
        return images.expand(-1, 3, -1, -1)
    return (images * torch.tensor(LUMA, dtype=images.dtype).view(3, 1, 1)).sum(1, keepdim=True)


def as_sequence(images: Tensor, read_as: str, patch: int) -> Tensor:
    """Convert images ``[N, C, H, W]`` to sequences ``[T, N, size]``: rows from the top, columns from the left, pixels
    row by row, or square patches with sides of ``patch`` pixels, row by row. A step concatenates the channels.
    """
    height, width = images.shape[2:]
    block = {"rows": (1, width), "columns": (height, 1), "pixels": (1, 1), "patches": (patch, patch)}[read_as]
    blocks = images.unflatten(3, (-1, block[1])).unflatten(2, (-1, block[0]))
    return blocks.permute(2, 4, 0, 1, 3, 5).flatten(3).flatten(0, 1)
