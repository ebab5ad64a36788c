"""The backend for GPUs: Triton kernels for the dynamics of all groups of a network, and for what it learns."""

from bionets.layers.plastic.gpu.run import run
from bionets.layers.plastic.gpu.supported import why_not

__all__ = ["run", "why_not"]
