"""Export to and import from NIR, an exchange format of spiking networks (Pedersen et al. 2024; package ``nir``)."""

from importlib.util import find_spec

if find_spec("nir") is None:
    raise ModuleNotFoundError("the NIR format needs the package nir: pip install 'bionets[spiking]'", name="nir")

from bionets.layers.spiking.nir.export import to_nir
from bionets.layers.spiking.nir.load import NIRNet, from_nir

__all__ = ["NIRNet", "from_nir", "to_nir"]
