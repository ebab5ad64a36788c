"""Random augmentation of a batch of images."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional


def augment(
    images: Tensor,
    random: Generator,
    *,
    shift: float = 0.0,
    rotation: float = 0.0,
    scale: float = 0.0,
    flip: bool = False,
) -> Tensor:
    """Shift, rotate and scale each image ``[B, C, H, W]`` by its own random amounts, uniform up to the given maxima.

    Args:
        shift: maximum shift in each direction, in pixels.
        rotation: maximum rotation in either direction, in degrees.
        scale: maximum relative change of size in either direction, 0.1 for 10 %; below 1.
        flip: whether each image is mirrored left to right with probability ½.
    """
    size, height, width = images.shape[0], images.shape[2], images.shape[3]
    uniform = 2 * torch.rand(5, size, generator=random) - 1
    angle, factor = math.radians(rotation) * uniform[0], 1 + scale * uniform[1]
    mirror = torch.where(uniform[2] > 0, -1.0, 1.0) if flip else torch.ones(size)
    cos, sin = torch.cos(angle) / factor, torch.sin(angle) / factor
    # An affine grid is in units of half the width and half the height.
    across = [cos * mirror, -sin * (height / width), 2 * shift / width * uniform[3]]
    down = [sin * mirror * (width / height), cos, 2 * shift / height * uniform[4]]
    grid = functional.affine_grid(
        torch.stack(across + down, 1).view(size, 2, 3), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid.to(images), align_corners=False)
