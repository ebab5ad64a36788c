"""Random changes of images, a whole batch at once."""

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
    """Each image ``[B, C, H, W]`` moved, turned and scaled by its own random amounts, uniform up to the given ones.

    Args:
        shift: pixels in each direction.
        rotation: degrees, either way.
        scale: share by which it grows or shrinks, 0.1 for 10 %.
        flip: left and right are exchanged in half of the images.
    """
    size, height, width = images.shape[0], images.shape[2], images.shape[3]
    uniform = 2 * torch.rand(5, size, generator=random) - 1
    angle, factor = math.radians(rotation) * uniform[0], 1 + scale * uniform[1]
    mirror = torch.where(uniform[2] > 0, -1.0, 1.0) if flip else torch.ones(size)
    cos, sin = torch.cos(angle) / factor, torch.sin(angle) / factor
    # An affine grid is in units of half the image.
    rows = [cos * mirror, -sin, 2 * shift / width * uniform[3], sin * mirror, cos, 2 * shift / height * uniform[4]]
    grid = functional.affine_grid(torch.stack(rows, 1).view(size, 2, 3), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid.to(images), align_corners=False)
