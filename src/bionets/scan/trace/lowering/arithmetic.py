"""Lowerings of arithmetic, comparisons, logic, rounding, the elementary functions, conversions and new tensors."""

import math
from typing import Any

import torch

from bionets.scan.builder import GraphBuilder, Value
from bionets.scan.operations import COMPARISONS
from bionets.scan.trace.lowering.table import LOWERINGS, Lowering, floats_only, is_int, lowers


def _of_floats(op: str) -> Lowering:
    """An operation whose inputs torch converts to floats."""

    def lowering(b: GraphBuilder, *values: Any) -> Any:
        floats_only(b)
        return b(op, *(b.cast(value, b.result) for value in values))

    return lowering


def _of_numbers(op: str) -> Lowering:
    """An operation that torch computes in the kind of its result, also for integers."""

    def lowering(b: GraphBuilder, *values: Any) -> Any:
        if b.result == "bool":
            raise TypeError("not for bools")
        return b(op, *(b.cast(value, b.result) for value in values))

    return lowering


def _of_result(op: str, for_bools: str) -> Lowering:
    """An operation that torch computes in the kind of its result; bools use the operation `for_bools`."""
    return lambda b, a, c: b(for_bools if b.result == "bool" else op, b.cast(a, b.result), b.cast(c, b.result))


def _rounding(op: str) -> Lowering:
    """Rounding, which leaves integers unchanged."""
    return lambda b, a: b.cast(a, b.result) if is_int(b.result) else b(op, b.cast(a, b.result))


def _comparison(op: str) -> Lowering:
    def lowering(b: GraphBuilder, a: Any, c: Any) -> Any:
        common = "uint8" if b.common == "bool" and op not in ("eq", "ne") else b.common
        return b(op, b.cast(a, common), b.cast(c, common))

    return lowering


def _ignoring_nan(op: str) -> Lowering:
    def lowering(b: GraphBuilder, a: Any, c: Any) -> Any:
        floats_only(b)
        a, c = b.cast(a, b.result), b.cast(c, b.result)
        return b("where", a.differs(a), c, b("where", c.differs(c), a, b(op, a, c)))

    return lowering


LOWERINGS |= {
    op: _of_floats(op)
    for op in (
        *("sqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan"),
        *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "sigmoid", "erf", "erfc", "atan2", "hypot", "copysign"),
        "fmod",
    )
}
LOWERINGS |= {op: _of_numbers(op) for op in ("neg", "abs", "sign")}
LOWERINGS |= {op: _rounding(op) for op in ("floor", "ceil", "trunc")}
LOWERINGS |= {op: _comparison(op) for op in COMPARISONS}
for _op in ("and", "or", "xor"):
    LOWERINGS[f"logical_{_op}"] = lambda b, a, c, op=_op: b(op, b.cast(a, "bool"), b.cast(c, "bool"))
    LOWERINGS[f"bitwise_{_op}"] = LOWERINGS[f"__{_op}__"] = _of_result(_op, _op)
LOWERINGS |= {
    "sgn": LOWERINGS["sign"],
    "fix": LOWERINGS["trunc"],
    "special_erf": LOWERINGS["erf"],
    "maximum": _of_result("maximum", "or"),
    "minimum": _of_result("minimum", "and"),
    "mul": _of_result("mul", "and"),
    "fmax": _ignoring_nan("maximum"),
    "fmin": _ignoring_nan("minimum"),
    "logical_not": lambda b, a: b("not", b.cast(a, "bool")),
    "bitwise_not": lambda b, a: b("not", a),
    "copy": lambda b, _, source, *__: b.cast(source, b.result),
    "scalar_tensor": lambda b, value, **_: b.constant(value, b.result),
    "isnan": lambda b, a: a.differs(a),
    "isinf": lambda b, a: abs(a).equals(math.inf) if "float" in b.kind(a) else b.constant(0, "bool"),
    "isfinite": lambda b, a: abs(a) < math.inf if "float" in b.kind(a) else b.constant(1, "bool"),
}


@lowers("add")
def _add(b: GraphBuilder, a: Any, c: Any, alpha: float = 1) -> Any:
    a, c = b.cast(a, b.result), b.cast(c, b.result)
    if b.result == "bool":
        return a | c
    if alpha == 1:
        return a + c
    return a + c * alpha if is_int(b.result) else b("fma", c, b.constant(alpha, b.result), a)  # eager torch rounds once


@lowers("sub")
def _sub(b: GraphBuilder, a: Any, c: Any, alpha: float = 1) -> Any:
    return _add(b, a, c, -alpha) if alpha != 1 else b.cast(a, b.result) - b.cast(c, b.result)


@lowers("div", "divide", "true_divide")
def _div(b: GraphBuilder, a: Any, c: Any, rounding_mode: str | None = None) -> Any:
    floats_only(b)
    a, c = b.cast(a, b.result), b.cast(c, b.result)
    if rounding_mode is None:
        return a / c
    if rounding_mode == "trunc":
        return b("trunc", a / c)
    # as in Python: the quotient after subtraction of the remainder, rounded without error
    rest = b("fmod", a, c)
    quotient = (a - rest) / c
    down = rest.differs(0.0) & ((c < 0.0) ^ (rest < 0.0))
    quotient = b("where", down, quotient - 1.0, quotient)
    floor = b("floor", quotient)
    floor = b("where", quotient - floor > 0.5, floor + 1.0, floor)
    zero = b("copysign", b.constant(0.0, b.result), a / c)
    return b("where", c.equals(0.0), a / c, b("where", quotient.equals(0.0), zero, floor))


@lowers("floor_divide")
def _floor_divide(b: GraphBuilder, a: Any, c: Any) -> Any:
    return _div(b, a, c, "floor")


@lowers("remainder")
def _remainder(b: GraphBuilder, a: Any, c: Any) -> Any:
    """The remainder, with the sign of the divisor."""
    floats_only(b)
    a, c = b.cast(a, b.result), b.cast(c, b.result)
    rest = b("fmod", a, c)
    other_sign = rest.differs(0.0) & ((c < 0.0) ^ (rest < 0.0))
    return b("where", other_sign, rest + c, rest)


@lowers("reciprocal")
def _reciprocal(b: GraphBuilder, a: Any) -> Any:
    a = b.cast(a, b.result)
    return b.constant(1.0, b.result) / a


@lowers("rsqrt")
def _rsqrt(b: GraphBuilder, a: Any) -> Any:
    return b.constant(1.0, b.result) / b("sqrt", b.cast(a, b.result))


@lowers("pow")
def _pow(b: GraphBuilder, a: Any, exponent: Any) -> Any:
    number = None if isinstance(exponent, Value) else exponent
    if isinstance(exponent, Value) and b.nodes[exponent].op == "constant":
        number = b.nodes[exponent].value
    a = b.cast(a, b.result)
    if number == 0:
        return b.constant(1.0, b.result)
    if number in (1, 2, 3):
        return math.prod([a] * (int(number) - 1), start=a)
    floats_only(b)
    one = b.constant(1.0, b.result)
    if number in (-1, -2):
        return one / (a if number == -1 else a * a)
    if number in (0.5, -0.5):
        root = b("sqrt", a)
        return root if number > 0 else one / root
    return b("pow", a, b.cast(exponent, b.result))


@lowers("square")
def _square(b: GraphBuilder, a: Any) -> Any:
    return _pow(b, a, 2)


@lowers("round")
def _round(b: GraphBuilder, a: Any, decimals: int = 0) -> Any:
    if decimals:
        raise TypeError("rounding to decimals is not supported")
    a = b.cast(a, b.result)
    if b.nodes[a].op == "sigmoid":  # a spike with the gradient of its probability
        (z,) = (Value(b, number) for number in b.nodes[a].inputs)
        kind = torch.float64 if b.kind(z) == "float64" else torch.float32 if b.kind(z) == "float32" else b.dtype
        half = 0.75 * torch.finfo(kind).eps  # the largest z with σ(z) = ½ in torch on the CPU, which is rounded to 0
        one, zero = b.constant(1.0, b.result), b.constant(0.0, b.result)
        return b("where", z > half, one, b("where", z <= half, zero, z))
    return _rounding("round")(b, a)


@lowers("clamp", "clip")
def clamp(b: GraphBuilder, a: Any, min: Any = None, max: Any = None) -> Any:
    if b.result == "bool":
        raise TypeError("not for bools")
    a = b.cast(a, b.result)
    if min is not None:
        a = b("maximum", a, b.cast(min, b.result))
    return a if max is None else b("minimum", a, b.cast(max, b.result))


@lowers("where")
def _where(b: GraphBuilder, condition: Any, a: Any, c: Any) -> Any:
    return b("where", b.cast(condition, "bool"), b.cast(a, b.result), b.cast(c, b.result))


@lowers("signbit")
def _signbit(b: GraphBuilder, a: Any) -> Any:
    return (b("copysign", b.constant(1.0, b.kind(a)), a) if "float" in b.kind(a) else a) < 0


@lowers("logaddexp")
def _logaddexp(b: GraphBuilder, a: Any, c: Any) -> Any:
    distance = abs(a - c)
    together = b("maximum", a, c) + b("log1p", b("exp", -distance))
    return b("where", abs(a).equals(math.inf) & a.equals(c), a, together)


@lowers("addcmul")
def _addcmul(b: GraphBuilder, a: Any, c: Any, d: Any, value: float = 1) -> Any:
    product = c * value if value != 1 else c
    return b("fma", product, d, a) if "float" in b.result else a + product * d  # as eager torch


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
