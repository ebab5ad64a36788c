"""Activity of a stigmergic memory: marks, ticks and cells over time."""

from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from bionets.analysis.style import PAGE, new_figure, save, styled
from bionets.layers import StigmergicMemory


class MemoryTrace(NamedTuple):
    """Marks, ticks and the memory after each step of one sequence, each ``[T, K]``."""

    marks: Tensor
    ticks: Tensor
    memory: Tensor


@torch.no_grad()
def trace_memory(layer: StigmergicMemory, x: Tensor) -> MemoryTrace:
    """Run a layer over a sequence x ``[T, input_size]`` from its initial state; record marks, ticks and memory."""
    memories, _ = layer.over_time(x)
    (start,) = layer.initial_states(x)
    before = torch.cat([start.unsqueeze(0), memories[:-1]])
    return MemoryTrace(*layer.marks_and_ticks(x, before), memories)


@styled
def draw_memory(file: Path, x: Tensor, trace: MemoryTrace, title: str) -> Path:
    """Draw the input ``[T, input_size]``, marks, ticks and memory side by side, with time downwards, as png and svg."""
    figure = new_figure(PAGE, 2.8)
    panels = figure.subplots(1, 4, sharey=True)
    deposits = max(float(trace.marks.max()), float(trace.ticks.max()), 1e-6)
    units = {"input": "value", "marks": "added per step", "ticks": "removed per step", "memory": "level"}
    scales = {"input": 1.0, "marks": deposits, "ticks": deposits, "memory": None}
    for axes, (name, unit), values in zip(panels, units.items(), (x, *trace), strict=True):
        lowest = None if name == "memory" else 0
        shades = {"vmin": lowest, "vmax": scales[name], "cmap": "magma"}
        picture = axes.imshow(values.float().cpu().numpy(), aspect="auto", interpolation="nearest", **shades)
        figure.colorbar(picture, ax=axes, location="bottom", shrink=0.8, label=unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        axes.set_title(name)
        axes.set_xlabel("input element" if name == "input" else "memory cell")
    panels[0].set_ylabel("time step")
    return save(figure, file, title)
