"""The common style of all figures: colours, line styles, sizes, files.

The colours are those of Okabe and Ito (2008), which are distinguishable with common colour vision deficiencies. A model
has the same colour and dash pattern in every figure. The settings of matplotlib change only within a drawing function.
"""

import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple, ParamSpec, TypeVar

from cycler import cycler
from matplotlib import rc_context, rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bionets.atomic import write_atomically
from bionets.import_path import deprecated_names

P = ParamSpec("P")
R = TypeVar("R")

COLUMN, PAGE = 3.5, 7.0
"""The width in inches of one column, and of both, of a two-column paper."""

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#808080"
PALETTE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY)
DASHES = ("solid", "dashed", "dotted", "dashdot")


class LineStyle(NamedTuple):
    """The line style of one label in all figures."""

    colour: str
    dash: str


# No two models have the same colour and dash pattern, so that any two can be in one figure.
LINE_STYLES = {
    "nbrc": LineStyle(BLUE, "solid"),
    "brc": LineStyle(SKY, "solid"),
    "gru": LineStyle(ORANGE, "solid"),
    "lstm": LineStyle(VERMILLION, "solid"),
    "rnn": LineStyle(GREY, "solid"),
    "peephole_lstm": LineStyle(PURPLE, "solid"),
    "src": LineStyle(GREEN, "solid"),
    "min_gru": LineStyle(ORANGE, "dashed"),
    "min_lstm": LineStyle(VERMILLION, "dashed"),
    "lru": LineStyle(GREEN, "dashed"),
    "cornn": LineStyle(PURPLE, "dashed"),
    "unicornn": LineStyle(PURPLE, "dotted"),
    "lem": LineStyle(SKY, "dashed"),
    "lmu": LineStyle(BLUE, "dashed"),
    "stigmergic": LineStyle(BLUE, "dotted"),
    "stigmergic_perceptron": LineStyle(SKY, "dotted"),
    "feed_forward": LineStyle(GREY, "dashed"),
    "spiking_conv": LineStyle(GREEN, "dotted"),
    "spiking_recurrent": LineStyle(GREEN, "dashdot"),
    "stdp": LineStyle(VERMILLION, "dotted"),
    "reward_modulated": LineStyle(ORANGE, "dotted"),
    "spatial_linear": LineStyle(BLUE, "dashdot"),
    "spatial_conv": LineStyle(SKY, "dashdot"),
    "spatial_recurrent": LineStyle(GREY, "dashdot"),
    "stack": LineStyle(VERMILLION, "dashdot"),
}

_PAPER = {
    "font.size": 8,
    "axes.titlesize": 8,
    "figure.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.columnspacing": 1.0,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=PALETTE),
    "grid.color": "#b8b8b8",
    "image.cmap": "viridis",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "auto",
    "savefig.dpi": 300,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "bionets",  # makes files reproducible
}
_SLIDES = {
    "font.size": 16,
    "axes.titlesize": 16,
    "figure.titlesize": 16,
    "xtick.labelsize": 14,
    "ytick.labelsize": 14,
    "legend.fontsize": 12,
    "lines.linewidth": 2.5,
    "lines.markersize": 8,
    "axes.linewidth": 1.2,
    "xtick.major.width": 1.2,
    "ytick.major.width": 1.2,
    "savefig.dpi": 150,
}
_LIGHT, _GROUND = "#e8e8e8", "#1b1b1b"
_DARK = {
    "figure.facecolor": _GROUND,
    "axes.facecolor": _GROUND,
    "grid.color": "#606060",
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color"), _LIGHT
    ),
}
STYLES: dict[str, Any] = {
    "paper": _PAPER,
    "slides": {**_PAPER, **_SLIDES},
    "dark": {**_PAPER, **_DARK},
}
"""Name -> matplotlib's settings. ``paper`` is readable at column width, ``slides`` from the last row."""
SCALES = {"slides": 1.8}  # factor of the width and height of a figure


class StyleError(ValueError):
    """There is no style of this name."""


_current: ContextVar[str] = ContextVar("style", default="paper")


@contextmanager
def use_style(name: str) -> Iterator[None]:
    """Draw all figures within this context in a style: ``paper`` (the default), ``slides`` or ``dark``.

    Raises:
        StyleError: the name is unknown.
    """
    if name not in STYLES:
        raise StyleError(f"style={name} is unknown: choose {', '.join(STYLES)}")
    token = _current.set(name)
    try:
        yield
    finally:
        _current.reset(token)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorator of a drawing function, which draws in the current style."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with rc_context(STYLES[_current.get()]):
            return draw(*args, **kwargs)

    return in_style


def new_figure(width: float = COLUMN, height: float = 2.4) -> Figure:
    """An empty figure; the size is in inches in the style ``paper``."""
    scale = SCALES.get(_current.get(), 1.0)
    return Figure(figsize=(width * scale, height * scale), layout="constrained")


def save(figure: Figure, file: Path, title: str = "") -> Path:
    """Write a figure as png and svg, for any suffix of ``file``, and return the path of the png."""
    if title:
        figure.suptitle(title)
    file.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any]
    for suffix, metadata in ((".svg", {"Date": None}), (".png", {})):
        content = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")  # names in any script; shown as a box
            figure.savefig(content, format=suffix[1:], metadata=metadata)
        write_atomically(file.with_suffix(suffix), content.getvalue())
    return file.with_suffix(".png")


def legend_below(figure: Figure, handles: Sequence[Artist], columns: int | None = None) -> None:
    """Add a legend below all panels, where it does not cover curves, with as many columns as fit. Long labels have
    several lines, and the figure is higher by those after the third line.
    """
    if not handles:
        return
    size, width = rcParams["legend.fontsize"] / 72, figure.get_figwidth()  # inches
    for handle in handles:
        handle.set_label("\n".join(wrap(str(handle.get_label()), int(1.6 * width / size))))
    room = max(1, int(width / (11.5 * size)))
    for number in range(min(columns or room, len(handles)), 0, -1):
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=number)
        extent = legend.get_window_extent()
        if number == 1 or extent.width <= figure.bbox.width:
            figure.set_figheight(figure.get_figheight() + max(0.0, extent.height / figure.dpi - 5 * size))
            break
        legend.remove()


def legend_of(axes: Axes) -> None:
    """Add a legend above an axis."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)


def marker_of(xs: Sized) -> str | None:
    """The marker of a curve: a single point is not visible as a line."""
    return "o" if len(xs) == 1 else None


def text_colour() -> str:
    """The colour of text and axes."""
    return str(rcParams["text.color"])


def grid_colour() -> str:
    """The colour of elements behind the curves."""
    return str(rcParams["grid.color"])


def line_styles(labels: Iterable[str]) -> dict[str, LineStyle]:
    """The line style of each label. Models have fixed styles; the style of another label is derived from its name, or
    is the next style if another label of the figure already has this one.
    """
    wanted = list(dict.fromkeys(labels))
    found = {name: LINE_STYLES[name] for name in wanted if name in LINE_STYLES}
    every = [LineStyle(colour, dash) for dash in DASHES for colour in PALETTE]
    for name in wanted:
        if name not in found:
            free = [style for style in every if style not in found.values()] or every
            first = every[int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(PALETTE)]
            found[name] = first if first in free else free[0]
    return found


__getattr__ = deprecated_names(
    __name__,
    {
        "Look": "bionets.analysis.style.LineStyle",
        "LOOKS": "bionets.analysis.style.LINE_STYLES",
        "looks": "bionets.analysis.style.line_styles",
        "ink": "bionets.analysis.style.text_colour",
        "faint": "bionets.analysis.style.grid_colour",
        "label_of": "bionets.analysis.names.label_of",
        "name_of": "bionets.analysis.names.name_of",
    },
)
