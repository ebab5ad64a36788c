"""Lowerings of conversions, copies and new tensors."""

from typing import Any

from bionets.scan.builder import GraphBuilder
from bionets.scan.trace.lowering.table import LOWERINGS, lowers

LOWERINGS |= {
    "copy": lambda b, _, source, *__: b.cast(source, b.result),
    "scalar_tensor": lambda b, value, **_: b.constant(value, b.result),
}


@lowers("_to_copy", "to", "clone", "contiguous", "lift_fresh_copy", "positive", "type_as")
def _converted(b: GraphBuilder, a: Any, *_: Any, **__: Any) -> Any:
    return b.cast(a, b.result)


@lowers("zeros_like", "new_zeros", "zeros", "zero", "_efficientzerotensor", "empty_like", "new_empty", "empty")
def _zeros(b: GraphBuilder, *_: Any, **__: Any) -> Any:
    return b.constant(0, b.result)


@lowers("ones_like", "new_ones", "ones")
def _ones(b: GraphBuilder, *_: Any, **__: Any) -> Any:
    return b.constant(1, b.result)


@lowers("full_like", "new_full", "full", "fill")
def _full(b: GraphBuilder, _shape: Any, *arguments: Any, **_: Any) -> Any:
    return b.cast(arguments[-1], b.result)
