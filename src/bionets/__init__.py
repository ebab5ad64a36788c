"""Biologically inspired memory for PyTorch: recurrent cells, spiking neurons, plastic synapses, and a template."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bionets.experiment.run.export import export as export
    from bionets.experiment.run.trained import load_trained as load

__all__ = ["__version__", "export", "load"]

try:
    __version__ = version("bionets")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+source"

# Imported when first used: they need PyTorch, Lightning and all models, which take seconds to import.
_LAZY = {
    "load": ("bionets.experiment.run.trained", "load_trained"),
    "export": ("bionets.experiment.run.export", "export"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, function = _LAZY[name]
    return getattr(import_module(module), function)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
