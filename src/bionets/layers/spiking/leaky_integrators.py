"""The 32 leaky integrators by their names."""

from bionets.layers.spiking.kind import KINDS
from bionets.layers.spiking.leaky_integrator import leaky_integrator

__all__ = [kind.name for kind in KINDS]

globals().update({kind.name: leaky_integrator(kind, __name__) for kind in KINDS})
