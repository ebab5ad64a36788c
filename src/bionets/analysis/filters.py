"""Receptive fields: the input weights of each neuron as an image."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bionets.analysis.style import PAGE, new_figure, save, styled


@styled
def draw_filters(file: Path, weight: Tensor, shape: tuple[int, int, int], labels: Tensor, title: str) -> Path:
    """Draw the weights ``[N, C·H·W]`` of all neurons in a grid, sorted by their labels ``[N]``, as png and svg.

    ``shape`` is (C, H, W); weights are summed over channels. Gaps separate the filters; all have one colour scale.
    """
    height, width = shape[1:]
    order = torch.argsort(labels.cpu(), stable=True)
    images = weight.detach().cpu()[order].view(-1, *shape).sum(1)
    columns = math.ceil(math.sqrt(len(images) * height / width))
    rows = math.ceil(len(images) / columns)
    sheet = np.full((rows * (height + 1), columns * (width + 1)), np.nan)
    for n, image in enumerate(images.numpy()):
        top, left = n // columns * (height + 1), n % columns * (width + 1)
        sheet[top : top + height, left : left + width] = image
    figure = new_figure(PAGE, 6 * rows * height / (columns * width) + 0.4)
    axes = figure.add_subplot()
    picture = axes.imshow(sheet, cmap="magma", interpolation="nearest", vmin=0)
    axes.set_axis_off()
    figure.colorbar(picture, ax=axes, shrink=0.5, label="synaptic weight")
    return save(figure, file, f"{title}: weights of {len(images)} neurons, in the order of their labels")
