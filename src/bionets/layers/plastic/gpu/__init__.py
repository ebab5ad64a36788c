"""The backend for GPUs: Triton kernels for the dynamics of all groups of a network, and for learning."""

from bionets.layers.plastic.gpu.run import run
from bionets.layers.plastic.gpu.supported import unsupported_reason

__all__ = ["run", "unsupported_reason"]
