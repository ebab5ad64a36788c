"""Figures of a spiking network: its spikes, its membranes, its decays and thresholds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from bionets.analysis.names import name_of
from bionets.analysis.spiking_activity import Activity, fires
from bionets.analysis.style import PAGE, grid_colour, marker_of, new_figure, save, styled, text_colour
from bionets.layers.spiking import FullyRecurrent, SpikingLayer

MOST_NEURONS, MOST_TRACES = 200, 4
RASTER_POINTS = 450, 60  # about the width and height of a panel of spikes
SYMBOLS = {"beta": "β", "alpha": "α", "gamma": "γ", "rho": "ρ", "threshold": "θ"}
SIGNS = {"pos": "₊", "neg": "₋"}


@styled
def draw_raster(file: Path, network: nn.Module, activity: Mapping[str, Activity], title: str) -> Path:
    """Draw the spikes of the first sequence, with a panel for each spiking layer and a row for each neuron."""
    spiking = {path: each for path, each in activity.items() if fires(network.get_submodule(path))}
    figure, panels = panels_in_a_column(len(spiking), 1.3)
    for axes, (path, each) in zip(panels, spiking.items(), strict=True):
        neurons = each.output[:, 0].flatten(1).cpu()
        which, rate = draw_spikes(axes, neurons), float((neurons != 0).float().mean())
        axes.set_title(
            f"{layer_title(network, path)}: {which} neurons, {rate:.3f} spikes per neuron and step", loc="left"
        )
    return finish(figure, panels, len(next(iter(activity.values())).output), file, title)


def draw_spikes(axes: Axes, spikes: Tensor) -> str:
    """Draw spikes ``[T, N]`` as vertical marks with the height of a row, narrower than a step; negative spikes are red.
    Of more than 200 neurons, every n-th is shown. Returns the number of shown neurons, as text.
    """
    every = -(-spikes.shape[1] // MOST_NEURONS)
    shown = spikes[:, ::every]
    size, width = max(1.0, RASTER_POINTS[1] / shown.shape[1]) ** 2, tick_width(len(shown))
    for sign, colour in ((1, text_colour()), (-1, "C3")):
        steps, rows = (shown * sign > 0).nonzero(as_tuple=True)
        axes.scatter(steps, rows, marker="|", s=size, linewidths=width, color=colour, rasterized=True)
    axes.set_ylim(-0.5, shown.shape[1] - 0.5)
    axes.set_yticks([])
    axes.set_ylabel("neuron")
    return f"one in {every} of {spikes.shape[1]}" if every > 1 else f"{spikes.shape[1]}"


@styled
def draw_membranes(file: Path, network: nn.Module, activity: Mapping[str, Activity], title: str) -> Path:
    """Draw the membranes of the first sequence after each step, with a panel for each layer, for the few neurons that
    spike most (without spikes: whose membranes change most). Dots mark the spikes. A dual membrane is drawn as its sum.
    """
    found = {path: each for path, each in activity.items() if membrane(each) is not None}
    figure, panels = panels_in_a_column(len(found), 1.4)
    for axes, (path, each) in zip(panels, found.items(), strict=True):
        voltage = membrane(each)
        assert voltage is not None
        voltage, output = voltage[:, 0].flatten(1).cpu(), each.output[:, 0].flatten(1).cpu()
        spiking = fires(network.get_submodule(path))
        counts = spiking and bool(output.any())
        activity_of = output.count_nonzero(0).float() if counts else voltage.std(0, correction=0)
        most = activity_of.topk(min(MOST_TRACES, voltage.shape[1])).indices
        for place, neuron in enumerate(most.tolist()):
            axes.plot(voltage[:, neuron], color=f"C{place}", linewidth=0.9, marker=marker_of(voltage))
            if spiking:
                steps = output[:, neuron].nonzero()[:, 0]
                size = min(3.0, 2 * tick_width(len(voltage)))
                axes.plot(steps, voltage[steps, neuron], "o", color=f"C{place}", markersize=size)
        axes.axhline(0, color=grid_colour(), linewidth=0.6, zorder=0)
        dots = ", dots are spikes" if spiking else ""
        axes.set_ylabel("membrane\npotential")
        axes.set_title(f"{layer_title(network, path)}: {len(most)} of {voltage.shape[1]} neurons{dots}", loc="left")
    return finish(figure, panels, len(next(iter(activity.values())).output), file, title)


@styled
def draw_parameters(file: Path, network: nn.Module, title: str) -> Path:
    """Draw histograms of all decays and of all thresholds, with a row for each layer."""
    layers = [(path, module) for path, module in network.named_modules() if isinstance(module, SpikingLayer)]
    thresholds = [value for _, layer in layers for value in constrained_values(layer, "threshold").values()]
    lowest, highest = (float(end) for end in torch.cat(thresholds or [torch.ones(1)]).aminmax())
    room = 0.05 * max(highest - lowest, 0.2)
    figure = new_figure(PAGE, 0.7 + 1.3 * len(layers))
    panels = figure.subplots(len(layers), 2, squeeze=False)
    for row, (path, layer) in zip(panels, layers, strict=True):
        histogram(row[0], constrained_values(layer, "decay"), (0.0, 1.0))
        histogram(row[1], constrained_values(layer, "threshold"), (lowest - room, highest + room))
        row[0].set_title(layer_title(network, path), loc="left")
        row[0].set_ylabel("neurons")
    panels[-1, 0].set_xlabel("decay per step")
    panels[-1, 1].set_xlabel("threshold")
    return save(figure, file, title)


def constrained_values(layer: SpikingLayer, constraint: str) -> dict[str, Tensor]:
    """All decays, or thresholds, of a layer by name."""
    names = [name for name, kind in layer.constraints.items() if kind == constraint]
    return {name: getattr(layer, name).detach().flatten().cpu() for name in names}


def histogram(axes: Axes, values: Mapping[str, Tensor], limits: tuple[float, float]) -> None:
    for name, each in values.items():  # several as outlines, because overlapping colours are not in the legend
        look: dict[str, Any] = {"histtype": "step", "linewidth": 1.2} if len(values) > 1 else {}
        axes.hist(each.numpy(), bins=50, range=limits, label=symbol(name), **look)
    if values:
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    else:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", color=grid_colour())
    axes.set_xlim(limits)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))  # thresholds around 1 may have labels of five characters
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))


def symbol(name: str) -> str:
    """The symbol of a parameter in papers: β₊ for ``pos_beta``."""
    sign, _, plain = name.rpartition("_")
    return SYMBOLS.get(plain, name_of(plain)) + SIGNS[sign] if sign in SIGNS else SYMBOLS.get(name, name_of(name))


def tick_width(steps: int) -> float:
    """The width of the mark of a spike in points, such that marks of neighbouring steps do not overlap."""
    return min(2.0, max(0.4, 0.8 * RASTER_POINTS[0] / steps))


def membrane(activity: Activity) -> Tensor | None:
    """The membrane after each step: one state, or the sum of a positive and a negative state."""
    parts = [state for name, state in activity.states.items() if name.endswith("mem")]
    return torch.stack(parts).sum(0) if parts else None


def layer_title(network: nn.Module, path: str) -> str:
    """The class and path of a layer, for example ``LIB (module 2)``."""
    layer = network.get_submodule(path)
    kind = f"{layer.layer._get_name()}, fully recurrent" if isinstance(layer, FullyRecurrent) else layer._get_name()
    return f"{kind} (module {path})" if path else kind


def panels_in_a_column(count: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of panels in one column with a common time axis."""
    figure = new_figure(PAGE, 0.7 + height * count)
    return figure, [row[0] for row in figure.subplots(count, 1, squeeze=False, sharex=True)]


def finish(figure: Figure, panels: list[Axes], steps: int, file: Path, title: str) -> Path:
    panels[-1].set_xlabel("time step")
    panels[-1].set_xlim(-0.5, steps - 0.5)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return save(figure, file, title)
