"""Figures of a spatial network: positions of neurons, their tasks, their connections, and an animation of training."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from bionets.analysis.names import name_of
from bionets.analysis.style import PALETTE, grid_colour, legend_below, new_figure, save, styled, text_colour
from bionets.analysis.subnetworks import NO_SINGLE_TASK, Split, owners
from bionets.atomic import write_atomically
from bionets.layers import SpatialLayer, spatial_layers
from bionets.layers.spatial.spatial_costs import connections

COLOURS = [f"C{i}" for i in range(len(PALETTE))]
CONNECTIONS = 300  # number of the strongest connections drawn for each layer
FRAMES_PER_SECOND = 8


@styled
def draw_positions(file: Path, network: nn.Module, masks: Split, names: Sequence[str], title: str) -> Path:
    """Draw a panel for each layer: its neurons, coloured by their tasks, and the strongest connections from the
    previous layer, whose neurons are hollow. A connection between neurons of the same task has the colour of the task;
    one between neurons of two tasks has the colour of the text. Neurons without a single task and their connections are
    grey.
    """
    layers, task_of = spatial_layers(network), [each.numpy() for each in owners(masks)]
    figure, panels = _panels(len(layers))
    for i, (axes, layer) in enumerate(zip(panels, layers, strict=True)):
        if i > 0:
            _draw_connections(axes, layers[i - 1], layer, task_of[i - 1], task_of[i])
            _scatter(axes, _plane(layers[i - 1]), task_of[i - 1], hollow=True)
        _scatter(axes, _plane(layer), task_of[i])
        axes.set_title(_name_of(i, len(layers)))
    _square(panels, [_plane(layer) for layer in layers])
    before: dict[str, Any] = {"marker": "o", "markerfacecolor": "none", "linestyle": "none"}
    others = [
        Line2D([], [], color=text_colour(), label="layer before", **before),
        Line2D([], [], color=text_colour(), linewidth=0.5, label="connection between tasks"),
    ]
    _legend(figure, names, task_of, others)
    return save(figure, file, title)


@styled
def draw_activations(
    file: Path,
    network: nn.Module,
    activations: Sequence[Tensor],
    names: Sequence[str],
    title: str,
    quantity: str = "activation",
) -> Path:
    """Draw a row for each task with a panel for each layer: the neurons at their positions, darker for a stronger
    activation by the task. ``quantity`` is the label of the colour bar.
    """
    layers = spatial_layers(network)
    figure = new_figure(2.3 * len(layers), 2.2 * len(names) + 0.6)
    grid = figure.subplots(len(names), len(layers), squeeze=False, sharex=True, sharey=True)
    for i, layer in enumerate(layers):
        strongest = float(activations[i].max()) or 1.0
        for task, name in enumerate(names):
            axes = grid[task, i]
            shades = {"cmap": "magma_r", "vmin": 0, "vmax": strongest}
            outline = {"edgecolors": grid_colour(), "linewidths": 0.4}  # otherwise weak neurons are hardly visible
            picture = axes.scatter(*_plane(layer).T, c=activations[i][task].numpy(), s=12, **shades, **outline)
            axes.set_title(f"{_name_of(i, len(layers))}, {name_of(name)}")
        figure.colorbar(picture, ax=list(grid[:, i]), location="bottom", shrink=0.8, label=quantity)
    _square(list(grid.flat), [_plane(layer) for layer in layers])
    return save(figure, file, title)


@styled
def draw_animation(
    file: Path, positions: Mapping[str, NDArray[Any]], masks: Split, names: Sequence[str], title: str
) -> Path:
    """Draw an animation (gif) of the positions during training, coloured by the final tasks of the neurons.

    Args:
        positions: ``epoch`` ``[E]``, and ``layer_<i>`` ``[E, N, dim]`` of every layer.
    """
    moves = [_in_plane(positions[f"layer_{i}"]) for i in range(len(masks))]
    task_of = [each.numpy() for each in owners(masks)]
    figure, panels = _panels(len(moves), size=2.4)
    dots = [_scatter(axes, move[0], task, size=10) for axes, move, task in zip(panels, moves, task_of, strict=True)]
    for i, axes in enumerate(panels):
        axes.set_title(_name_of(i, len(moves)))
    _square(panels, [move.reshape(-1, 2) for move in moves])
    _legend(figure, names, task_of)
    heading = figure.suptitle(title)

    frames = [*range(len(positions["epoch"])), *[-1] * FRAMES_PER_SECOND]  # pauses at the end
    images = []
    for frame in frames:
        for dot, move in zip(dots, moves, strict=True):
            dot.set_offsets(move[frame])
        heading.set_text(f"{title}, epochs trained: {positions['epoch'][frame]}")
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=100)
        images.append(Image.open(image).convert("RGB"))
    content = io.BytesIO()
    milliseconds = 1000 // FRAMES_PER_SECOND
    images[0].save(content, "gif", save_all=True, append_images=images[1:], duration=milliseconds, loop=0)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, content.getvalue())
    return file


def _panels(layers: int, size: float = 2.6) -> tuple[Figure, list[Axes]]:
    figure = new_figure(size * layers, size * 1.25)
    return figure, list(figure.subplots(1, layers, squeeze=False, sharex=True, sharey=True)[0])


def _scatter(axes: Axes, places: NDArray[Any], task_of: NDArray[Any], hollow: bool = False, size: float = 14) -> Any:
    colours = [to_rgba(_colour_of(task)) for task in task_of]
    ground = rcParams["axes.facecolor"]
    if hollow:
        return axes.scatter(
            places[:, 0], places[:, 1], s=size / 2, facecolors=ground, edgecolors=colours, linewidths=0.6, zorder=2
        )
    return axes.scatter(places[:, 0], places[:, 1], s=size, c=colours, edgecolors=ground, linewidths=0.3, zorder=3)


def _draw_connections(
    axes: Axes, before: SpatialLayer, layer: SpatialLayer, task_before: NDArray[Any], task_of: NDArray[Any]
) -> None:
    strengths = connections(layer.weight.detach().cpu().abs(), len(before.positions)).sum(2)
    strongest = strengths.flatten().topk(min(CONNECTIONS, strengths.numel()))
    most = float(strongest.values[0]) or 1.0
    rows, columns = np.unravel_index(strongest.indices.numpy(), strengths.shape)
    start, end = _plane(before), _plane(layer)
    lines = [(start[j], end[i]) for i, j in zip(rows, columns, strict=True)]
    colours = [
        to_rgba(_colour_between(task_before[j], task_of[i]), alpha=alpha)
        for i, j, alpha in zip(rows, columns, (0.8 * (strongest.values / most).sqrt()).tolist(), strict=True)
    ]
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=0.5, zorder=1))


def _plane(layer: SpatialLayer) -> NDArray[Any]:
    return _in_plane(layer.positions.detach().cpu().float().numpy())


def _in_plane(positions: NDArray[Any]) -> NDArray[Any]:
    """The first two coordinates; one-dimensional positions are placed on a line."""
    if positions.shape[-1] == 1:
        return np.concatenate([positions, np.zeros_like(positions)], -1)
    return positions[..., :2]


def _square(panels: Sequence[Axes], places: Sequence[NDArray[Any]]) -> None:
    """Give all panels the same square limits, which contain all positions."""
    everything = np.concatenate(places)
    middle = (everything.max(0) + everything.min(0)) / 2
    half = float((everything.max(0) - everything.min(0)).max()) / 2 * 1.06 or 1.0
    for axes in panels:
        axes.set_xlim(middle[0] - half, middle[0] + half)
        axes.set_ylim(middle[1] - half, middle[1] + half)
        axes.set_aspect("equal")
        axes.set_xlabel("x")
        axes.set_ylabel("y")
        axes.label_outer()


def _colour_of(task: int) -> str:
    return grid_colour() if task == NO_SINGLE_TASK else COLOURS[task % len(COLOURS)]


def _colour_between(task: int, other: int) -> str:
    return _colour_of(min(task, other)) if task == other or NO_SINGLE_TASK in (task, other) else text_colour()


def _legend(
    figure: Figure, names: Sequence[str], task_of: Sequence[NDArray[Any]], others: Sequence[Artist] = ()
) -> None:
    labels = {k: name_of(name) for k, name in enumerate(names)}
    if any((each == NO_SINGLE_TASK).any() for each in task_of):
        labels[NO_SINGLE_TASK] = "several tasks or none"
    dots = [figure.axes[0].scatter([], [], c=_colour_of(k), label=label) for k, label in labels.items()]
    legend_below(figure, [*dots, *others])


def _name_of(layer: int, layers: int) -> str:
    return "outputs" if layer == layers - 1 else f"layer {layer}"
