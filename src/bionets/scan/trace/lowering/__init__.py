"""The translation of torch operations into the operations of a graph."""

from bionets.scan.trace.lowering import activations, arithmetic
from bionets.scan.trace.lowering.table import IGNORED, LOWERINGS, SHAPE_ONLY

__all__ = ["IGNORED", "LOWERINGS", "SHAPE_ONLY", "activations", "arithmetic"]
