"""Biologically inspired memory for PyTorch: recurrent cells, spiking neurons, plastic synapses, and a template."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("bionets")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+source"
