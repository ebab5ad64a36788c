"""Lowerings of conversions, copies and new tensors."""

from typing import Any

from bionets.scan.graph import GraphBuilder
from bionets.scan.trace.lowering.table import lowers


@lowers("_to_copy", "to", "clone", "contiguous", "lift_fresh_copy", "positive", "type_as")
def _converted(b: GraphBuilder, a: Any, *_: Any, **__: Any) -> Any:
    return b.cast(a, b.result)


@lowers("copy")
def _copy(b: GraphBuilder, _a: Any, c: Any, *_: Any) -> Any:
    return b.cast(c, b.result)


@lowers("zeros_like", "new_zeros", "zeros", "zero", "_efficientzerotensor", "empty_like", "new_empty", "empty")
def _zeros(b: GraphBuilder, *_: Any, **__: Any) -> Any:
    return b.constant(0, b.result)


@lowers("ones_like", "new_ones", "ones")
def _ones(b: GraphBuilder, *_: Any, **__: Any) -> Any:
    return b.constant(1, b.result)


@lowers("full_like", "new_full", "full", "fill")
def _full(b: GraphBuilder, _shape: Any, *arguments: Any, **_: Any) -> Any:
    return b.cast(arguments[-1], b.result)


@lowers("scalar_tensor")
def _scalar_tensor(b: GraphBuilder, value: float, **_: Any) -> Any:
    return b.constant(value, b.result)
