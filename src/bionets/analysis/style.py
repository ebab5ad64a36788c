"""One appearance for all figures: colours, names and units as papers use them, sizes, files.

The colours are those of Okabe and Ito (2008), which readers with any common colour vision tell apart. A model has the
same colour and dash pattern in every figure. Nothing here changes matplotlib's settings outside a drawing function.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from cycler import cycler
from matplotlib import rc_context, rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    "COLUMN",
    "PAGE",
    "STYLES",
    "Look",
    "faint",
    "ink",
    "label_of",
    "legend_below",
    "legend_of",
    "looks",
    "name_of",
    "new_figure",
    "save",
    "styled",
    "use_style",
]

P = ParamSpec("P")
R = TypeVar("R")

COLUMN, PAGE = 3.5, 7.0
"""The width in inches of one column, and of both, of a two-column paper."""

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#808080"
PALETTE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY)
DASHES = ("solid", "dashed", "dotted", "dashdot")


class Look(NamedTuple):
    """The appearance of one label in all figures."""

    colour: str
    dash: str


# No two models share colour and dash pattern, so that any two can stand in one figure.
LOOKS = {
    "nbrc": Look(BLUE, "solid"),
    "brc": Look(SKY, "solid"),
    "gru": Look(ORANGE, "solid"),
    "lstm": Look(VERMILLION, "solid"),
    "rnn": Look(GREY, "solid"),
    "peephole_lstm": Look(PURPLE, "solid"),
    "src": Look(GREEN, "solid"),
    "min_gru": Look(ORANGE, "dashed"),
    "min_lstm": Look(VERMILLION, "dashed"),
    "lru": Look(GREEN, "dashed"),
    "cornn": Look(PURPLE, "dashed"),
    "unicornn": Look(PURPLE, "dotted"),
    "lem": Look(SKY, "dashed"),
    "lmu": Look(BLUE, "dashed"),
    "stigmergic": Look(BLUE, "dotted"),
    "stigmergic_perceptron": Look(SKY, "dotted"),
    "feed_forward": Look(GREY, "dashed"),
    "spiking_conv": Look(GREEN, "dotted"),
    "spiking_recurrent": Look(GREEN, "dashdot"),
    "stdp": Look(VERMILLION, "dotted"),
    "reward_modulated": Look(ORANGE, "dotted"),
    "spatial_linear": Look(BLUE, "dashdot"),
    "spatial_conv": Look(SKY, "dashdot"),
    "spatial_recurrent": Look(GREY, "dashdot"),
    "stack": Look(VERMILLION, "dashdot"),
}

NAMES = {
    "nbrc": "nBRC",
    "brc": "BRC",
    "gru": "GRU",
    "lstm": "LSTM",
    "rnn": "RNN",
    "peephole_lstm": "peephole LSTM",
    "src": "SRC",
    "min_gru": "minGRU",
    "min_lstm": "minLSTM",
    "lru": "LRU",
    "cornn": "coRNN",
    "unicornn": "UnICORNN",
    "lem": "LEM",
    "lmu": "LMU",
    "stigmergic": "stigmergic memory",
    "feed_forward": "feed-forward",
    "spiking_conv": "spiking CNN",
    "spiking_recurrent": "spiking RNN",
    "stdp": "STDP",
    "reward_modulated": "reward-modulated STDP",
    "spatial_linear": "spatial MLP",
    "spatial_conv": "spatial CNN",
    "spatial_recurrent": "spatial RNN",
    "stack": "stack",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "kmnist": "KMNIST",
    "qmnist": "QMNIST",
    "smnist": "sMNIST",
    "psmnist": "psMNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "scifar10": "sCIFAR-10",
    "usps": "USPS",
    "n_mnist": "N-MNIST",
    "n_caltech101": "N-Caltech101",
    "n_cars": "N-Cars",
    "copy_first_input": "copy-first-input",
}

LABELS = {
    "step": "training step",
    "parameters": "number of parameters",
    "train/loss": "training loss",
    "test/nanojoules": "energy per sample (nJ)",
    "test/spikes_per_step": "spikes per neuron and time step",
    "val/bistable_share": "share of bistable units (a > 1)",
    "val/connection_length": "mean length of a connection",
}
SETS = {"train": "training", "val": "validation", "test": "test"}
METRICS = {"mse": "mean squared error", "return": "return (total reward)", "bit_accuracy": "accuracy of single bits"}

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
    "svg.hashsalt": "bionets",  # the same figure is the same file
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
SCALES = {"slides": 1.8}  # of the width and height of a figure

_current: ContextVar[str] = ContextVar("style", default="paper")


@contextmanager
def use_style(name: str) -> Iterator[None]:
    """All figures that are drawn in here have this style: ``paper`` (the default), ``slides`` or ``dark``.

    Raises:
        ValueError: an unknown name.
    """
    if name not in STYLES:
        raise ValueError(f"style={name} is unknown: choose {', '.join(STYLES)}")
    token = _current.set(name)
    try:
        yield
    finally:
        _current.reset(token)


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """A function that draws, in the current style."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with rc_context(STYLES[_current.get()]):
            return draw(*args, **kwargs)

    return in_style


def new_figure(width: float = COLUMN, height: float = 2.4) -> Figure:
    """An empty figure of so many inches in a paper."""
    scale = SCALES.get(_current.get(), 1.0)
    return Figure(figsize=(width * scale, height * scale), layout="constrained")


def save(figure: Figure, file: Path, title: str = "") -> Path:
    """Write a figure as png and svg, whichever ``file`` names; the path of the png."""
    if title:
        figure.suptitle(title)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(file.with_suffix(".png"))
    return file.with_suffix(".png")


def legend_below(figure: Figure, handles: Sequence[Artist], columns: int | None = None) -> None:
    """A legend under all panels, where it covers no curve."""
    if handles:
        room = max(1, int(figure.get_figwidth() / (0.16 * rcParams["legend.fontsize"])))
        figure.legend(handles=handles, loc="outside lower center", ncols=min(columns or room, len(handles)))


def legend_of(axes: Axes) -> None:
    """A legend of what an axis holds, above it."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)


def ink() -> str:
    """The colour of text and axes."""
    return str(rcParams["text.color"])


def faint() -> str:
    """A colour for what stands behind the curves."""
    return str(rcParams["grid.color"])


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """The appearance of each label. Models have theirs; others one that follows from their name, or the next where
    another label of the figure has it already.
    """
    names = list(dict.fromkeys(labels))
    found = {name: LOOKS[name] for name in names if name in LOOKS}
    every = [Look(colour, dash) for dash in DASHES for colour in PALETTE]
    for name in names:
        if name not in found:
            free = [look for look in every if look not in found.values()] or every
            first = every[int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(PALETTE)]
            found[name] = first if first in free else free[0]
    return found


def name_of(word: str) -> str:
    """A model, a task or another word of a config as a paper writes it: ``nbrc`` is nBRC."""
    return NAMES.get(word, word.replace("_", " "))


def label_of(key: str) -> str:
    """The axis label of a logged value: ``val/loss`` is the validation loss, ``test/nanojoules`` energy in nJ."""
    key, _, layer = key.partition("_layer_")
    if layer:
        return f"{label_of(key)}, layer {layer}"
    if key in LABELS:
        return LABELS[key]
    place, _, metric = key.rpartition("/")
    metric, _, length = metric.partition("_length_")
    words = METRICS.get(metric, name_of(metric))
    if metric.startswith("accuracy_") and metric != "accuracy_mean":
        words = f"accuracy on {name_of(metric.removeprefix('accuracy_'))}"
    if metric == "accuracy_mean":
        words = "accuracy, mean over lengths"
    where = SETS.get(place, name_of(place))
    return f"{where} {words}".strip() + (f" at length {length}" if length else "")
