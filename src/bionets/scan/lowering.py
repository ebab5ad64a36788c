"""How each torch operation is written in the few operations of a `Graph`.

A lowering receives the builder and the arguments of the operation, with tensors replaced by node numbers (`Value`).
What is not here is tried through torch's own decompositions before it is refused.
"""

from collections.abc import Callable
from typing import Any

import torch

from bionets.scan.graph import COMPARISONS, GraphBuilder, Value

# they leave memory and value alone; a result that shares the address of its argument is the same node
IGNORED = {"detach", "alias", "view", "expand", "view_as", "lift_fresh", "_unsafe_view", "squeeze", "unsqueeze"}
IGNORED |= {"_assert_tensor_metadata"}
# of their argument they take the shape, not the value
SHAPE_ONLY = {"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"}

Lowering = Callable[..., Any]
LOWERINGS: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    def register(lowering: Lowering) -> Lowering:
        for name in names:
            LOWERINGS[name] = lowering
        return lowering

    return register


def as_float(b: GraphBuilder, a: Any) -> Any:
    return b("float", a) if isinstance(a, Value) and b.is_bool(a) else a


def as_bool(b: GraphBuilder, a: Any) -> Any:
    return a if isinstance(a, Value) and b.is_bool(a) else b("ne", a, 0.0)


def _both_bool(b: GraphBuilder, *values: Any) -> bool:
    return all(isinstance(v, Value) and b.is_bool(v) for v in values)


def _unary(op: str) -> Lowering:
    return lambda b, a: b(op, as_float(b, a))


def _binary(op: str) -> Lowering:
    return lambda b, a, c: b(op, as_float(b, a), as_float(b, c))


for _op in [
    "neg",
    "abs",
    "sign",
    "sqrt",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sin",
    "cos",
    "tanh",
    "sigmoid",
    "atan",
    "erf",
    "floor",
    "ceil",
    "trunc",
]:
    LOWERINGS[_op] = _unary(_op)
for _op in ("maximum", "minimum", *COMPARISONS):
    LOWERINGS[_op] = _binary(_op)
LOWERINGS["sgn"] = _unary("sign")
for _name, _op in {"logical_and": "and", "logical_or": "or", "logical_xor": "xor"}.items():
    LOWERINGS[_name] = lambda b, a, c, op=_op: b(op, as_bool(b, a), as_bool(b, c))


for _name, _op in {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}.items():

    def _bits(b: GraphBuilder, a: Any, c: Any, op: str = _op) -> Any:
        if not _both_bool(b, a, c):
            raise TypeError("bitwise operations need bool tensors")
        return b(op, a, c)

    LOWERINGS[_name] = _bits


@lowers("logical_not", "bitwise_not")
def _not(b: GraphBuilder, a: Any) -> Any:
    return b("not", as_bool(b, a))


@lowers("add")
def _add(b: GraphBuilder, a: Any, c: Any, alpha: float = 1) -> Any:
    if _both_bool(b, a, c):
        return b("or", a, c)
    return b("add", as_float(b, a), b("mul", as_float(b, c), alpha) if alpha != 1 else as_float(b, c))


@lowers("sub")
def _sub(b: GraphBuilder, a: Any, c: Any, alpha: float = 1) -> Any:
    return b("sub", as_float(b, a), b("mul", as_float(b, c), alpha) if alpha != 1 else as_float(b, c))


@lowers("rsub")
def _rsub(b: GraphBuilder, a: Any, c: Any, alpha: float = 1) -> Any:
    return _sub(b, c, a, alpha)


@lowers("mul")
def _mul(b: GraphBuilder, a: Any, c: Any) -> Any:
    return b("and", a, c) if _both_bool(b, a, c) else b("mul", as_float(b, a), as_float(b, c))


@lowers("div")
def _div(b: GraphBuilder, a: Any, c: Any, rounding_mode: str | None = None) -> Any:
    if rounding_mode is not None:
        raise TypeError("rounded division is not supported")
    return b("div", as_float(b, a), as_float(b, c))


@lowers("reciprocal")
def _reciprocal(b: GraphBuilder, a: Any) -> Any:
    return b("div", 1.0, as_float(b, a))


@lowers("rsqrt")
def _rsqrt(b: GraphBuilder, a: Any) -> Any:
    return b("div", 1.0, b("sqrt", as_float(b, a)))


@lowers("square")
def _square(b: GraphBuilder, a: Any) -> Any:
    return b("mul", as_float(b, a), as_float(b, a))


@lowers("pow")
def _pow(b: GraphBuilder, a: Any, exponent: Any) -> Any:
    a, exponent = as_float(b, a), as_float(b, exponent)
    if not isinstance(exponent, Value) and isinstance(a, Value):
        if exponent == 0:
            return b.constant(1.0)
        if exponent == 0.5:
            return b("sqrt", a)
        if exponent in (1, 2, 3, -1, -2):
            power = a
            for _ in range(int(abs(exponent)) - 1):
                power = b("mul", power, a)
            return power if exponent > 0 else b("div", 1.0, power)
    return b("pow", a, exponent)


@lowers("round")
def _round(b: GraphBuilder, a: Any, decimals: int = 0) -> Any:
    if decimals:
        raise TypeError("rounding to decimals is not supported")
    a = as_float(b, a)
    if isinstance(a, Value) and b.nodes[a].op == "sigmoid":  # a spike with the gradient of its probability
        (z,) = b.nodes[a].inputs
        half = 0.75 * b.epsilon  # the largest z whose σ is ½ in torch on the CPU, and so is rounded to 0
        return b("where", b("gt", z, half), 1.0, b("where", b("le", z, half), 0.0, z))
    return b("round", a)


@lowers("frac")
def _frac(b: GraphBuilder, a: Any) -> Any:
    return b("sub", as_float(b, a), b("trunc", as_float(b, a)))


@lowers("clamp", "hardtanh")
def _clamp(b: GraphBuilder, a: Any, min: Any = None, max: Any = None) -> Any:
    a = as_float(b, a)
    if min is not None:
        a = b("maximum", a, as_float(b, min))
    return a if max is None else b("minimum", a, as_float(b, max))


@lowers("clamp_min")
def _clamp_min(b: GraphBuilder, a: Any, min: Any) -> Any:
    return _clamp(b, a, min)


@lowers("clamp_max")
def _clamp_max(b: GraphBuilder, a: Any, max: Any) -> Any:
    return _clamp(b, a, None, max)


@lowers("relu")
def _relu(b: GraphBuilder, a: Any) -> Any:
    return b("maximum", as_float(b, a), 0.0)


@lowers("where")
def _where(b: GraphBuilder, condition: Any, a: Any, c: Any) -> Any:
    condition = as_bool(b, condition)
    if _both_bool(b, a, c):
        return b("or", b("and", condition, a), b("and", b("not", condition), c))
    return b("where", condition, as_float(b, a), as_float(b, c))


@lowers("masked_fill")
def _masked_fill(b: GraphBuilder, a: Any, mask: Any, value: Any) -> Any:
    return b("where", mask, as_float(b, value), as_float(b, a))


@lowers("isnan")
def _isnan(b: GraphBuilder, a: Any) -> Any:
    return b("ne", a, a)


@lowers("softplus")
def _softplus(b: GraphBuilder, a: Any, beta: float = 1, threshold: float = 20) -> Any:
    scaled = b("mul", a, beta)
    return b("where", b("gt", scaled, threshold), a, b("div", b("log1p", b("exp", scaled)), beta))


@lowers("softplus_backward")
def _softplus_backward(b: GraphBuilder, gradient: Any, a: Any, beta: float, threshold: float) -> Any:
    scaled = b("mul", a, beta)
    z = b("exp", scaled)
    curved = b("div", b("mul", gradient, z), b("add", z, 1.0))
    return b("where", b("gt", scaled, threshold), gradient, curved)


@lowers("sigmoid_backward")
def _sigmoid_backward(b: GraphBuilder, gradient: Any, y: Any) -> Any:
    return b("mul", b("mul", gradient, b("sub", 1.0, y)), y)


@lowers("tanh_backward")
def _tanh_backward(b: GraphBuilder, gradient: Any, y: Any) -> Any:
    return b("mul", gradient, b("sub", 1.0, b("mul", y, y)))


@lowers("threshold_backward")
def _threshold_backward(b: GraphBuilder, gradient: Any, a: Any, threshold: float) -> Any:
    return b("where", b("le", a, threshold), 0.0, gradient)


@lowers("hardtanh_backward")
def _hardtanh_backward(b: GraphBuilder, gradient: Any, a: Any, low: float, high: float) -> Any:
    return b("where", b("or", b("le", a, low), b("ge", a, high)), 0.0, gradient)


@lowers("leaky_relu")
def _leaky_relu(b: GraphBuilder, a: Any, slope: float = 0.01) -> Any:
    return b("where", b("gt", a, 0.0), a, b("mul", a, slope))


@lowers("leaky_relu_backward")
def _leaky_relu_backward(b: GraphBuilder, gradient: Any, a: Any, slope: float, _is_result: bool) -> Any:
    return b("where", b("gt", a, 0.0), gradient, b("mul", gradient, slope))


@lowers("lerp")
def _lerp(b: GraphBuilder, a: Any, c: Any, weight: Any) -> Any:
    return b("add", a, b("mul", weight, b("sub", c, a)))


@lowers("addcmul")
def _addcmul(b: GraphBuilder, a: Any, c: Any, d: Any, value: float = 1) -> Any:
    return b("add", a, b("mul", b("mul", c, d), value))


@lowers("_to_copy")
def _to_copy(b: GraphBuilder, a: Any, dtype: torch.dtype | None = None, **_: Any) -> Any:
    if dtype is None or (dtype == torch.bool and _both_bool(b, a)):
        return a
    if dtype == torch.bool:
        return as_bool(b, a)
    if dtype in (torch.float32, torch.float64) or (_both_bool(b, a) and not dtype.is_complex):
        return as_float(b, a)
    raise TypeError(f"conversion to {dtype} is not supported")


@lowers("to")
def _to(b: GraphBuilder, a: Any, *arguments: Any, dtype: torch.dtype | None = None, **_: Any) -> Any:
    return _to_copy(b, a, next((arg for arg in arguments if isinstance(arg, torch.dtype)), dtype))


@lowers("clone", "contiguous", "lift_fresh_copy")
def _same(b: GraphBuilder, a: Any, **_: Any) -> Any:
    return a


@lowers("copy")
def _copy(b: GraphBuilder, _a: Any, c: Any, *_: Any) -> Any:
    return as_float(b, c)


@lowers("zeros_like", "new_zeros", "zeros", "zero")
def _zeros(b: GraphBuilder, *_: Any, **__: Any) -> Any:
    return b.constant(0.0)


@lowers("ones_like", "new_ones", "ones")
def _ones(b: GraphBuilder, *_: Any, **__: Any) -> Any:
    return b.constant(1.0)


@lowers("full_like", "new_full", "full", "fill")
def _full(b: GraphBuilder, _shape: Any, *arguments: Any, **_: Any) -> Any:
    value = arguments[-1]
    return value if isinstance(value, Value) else b.constant(value)


@lowers("scalar_tensor")
def _scalar_tensor(b: GraphBuilder, value: float, **_: Any) -> Any:
    return b.constant(value)
