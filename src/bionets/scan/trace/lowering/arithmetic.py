"""Lowerings of arithmetic, comparisons, logic and the elementary functions."""

import math
from typing import Any

import torch

from bionets.scan.graph import GraphBuilder, Value
from bionets.scan.operations import COMPARISONS
from bionets.scan.trace.lowering.table import LOWERINGS, Lowering, floats_only, is_int, lowers


def _of_floats(op: str) -> Lowering:
    """An operation whose inputs torch makes floats."""

    def lowering(b: GraphBuilder, *values: Any) -> Any:
        floats_only(b)
        return b(op, *(b.cast(value, b.result) for value in values))

    return lowering


def _of_numbers(op: str) -> Lowering:
    """One that torch computes in the kind of its result, also of integers."""

    def lowering(b: GraphBuilder, *values: Any) -> Any:
        if b.result == "bool":
            raise TypeError("not for bools")
        return b(op, *(b.cast(value, b.result) for value in values))

    return lowering


def _rounding(op: str) -> Lowering:
    """An integer is already round."""
    return lambda b, a: b.cast(a, b.result) if is_int(b.result) else b(op, b.cast(a, b.result))


for _op in (
    *("sqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "asin", "acos", "atan"),
    *("sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "sigmoid", "erf", "erfc", "atan2", "hypot", "copysign"),
):
    LOWERINGS[_op] = _of_floats(_op)
for _op in ("neg", "abs", "sign"):
    LOWERINGS[_op] = _of_numbers(_op)
for _op in ("floor", "ceil", "trunc"):
    LOWERINGS[_op] = _rounding(_op)
LOWERINGS |= {"sgn": LOWERINGS["sign"], "fix": LOWERINGS["trunc"], "special_erf": LOWERINGS["erf"]}


@lowers("maximum")
def _maximum(b: GraphBuilder, a: Any, c: Any) -> Any:
    return b("or" if b.result == "bool" else "maximum", b.cast(a, b.result), b.cast(c, b.result))


@lowers("minimum")
def _minimum(b: GraphBuilder, a: Any, c: Any) -> Any:
    return b("and" if b.result == "bool" else "minimum", b.cast(a, b.result), b.cast(c, b.result))


@lowers("fmax")
def _fmax(b: GraphBuilder, a: Any, c: Any) -> Any:
    return _passing_nan_by(b, "maximum", a, c)


@lowers("fmin")
def _fmin(b: GraphBuilder, a: Any, c: Any) -> Any:
    return _passing_nan_by(b, "minimum", a, c)


def _passing_nan_by(b: GraphBuilder, op: str, a: Any, c: Any) -> Any:
    floats_only(b)
    a, c = b.cast(a, b.result), b.cast(c, b.result)
    return b("where", b("ne", a, a), c, b("where", b("ne", c, c), a, b(op, a, c)))


def _comparison(op: str) -> Lowering:
    def lowering(b: GraphBuilder, a: Any, c: Any) -> Any:
        common = "uint8" if b.common == "bool" and op not in ("eq", "ne") else b.common
        return b(op, b.cast(a, common), b.cast(c, common))

    return lowering


def _logical(op: str) -> Lowering:
    return lambda b, a, c: b(op, b.cast(a, "bool"), b.cast(c, "bool"))


def _bitwise(op: str) -> Lowering:
    return lambda b, a, c: b(op, b.cast(a, b.result), b.cast(c, b.result))


for _op in COMPARISONS:
    LOWERINGS[_op] = _comparison(_op)
for _op in ("and", "or", "xor"):
    LOWERINGS[f"logical_{_op}"] = _logical(_op)
    LOWERINGS[f"bitwise_{_op}"] = LOWERINGS[f"__{_op}__"] = _bitwise(_op)


@lowers("logical_not")
def _logical_not(b: GraphBuilder, a: Any) -> Any:
    return b("not", b.cast(a, "bool"))


@lowers("bitwise_not")
def _bitwise_not(b: GraphBuilder, a: Any) -> Any:
    return b("not", a)


@lowers("add")
def _add(b: GraphBuilder, a: Any, c: Any, alpha: float = 1) -> Any:
    a, c = b.cast(a, b.result), b.cast(c, b.result)
    if b.result == "bool":
        return b("or", a, c)
    if alpha == 1:
        return b("add", a, c)
    # eager torch rounds once
    return b("add", a, b("mul", c, alpha)) if is_int(b.result) else b("fma", c, b.constant(alpha, b.result), a)


@lowers("sub")
def _sub(b: GraphBuilder, a: Any, c: Any, alpha: float = 1) -> Any:
    if alpha != 1:
        return _add(b, a, c, -alpha)
    return b("sub", b.cast(a, b.result), b.cast(c, b.result))


@lowers("rsub")
def _rsub(b: GraphBuilder, a: Any, c: Any, alpha: float = 1) -> Any:
    return _sub(b, c, a, alpha)


@lowers("mul")
def _mul(b: GraphBuilder, a: Any, c: Any) -> Any:
    return b("and" if b.result == "bool" else "mul", b.cast(a, b.result), b.cast(c, b.result))


@lowers("div", "divide", "true_divide")
def _div(b: GraphBuilder, a: Any, c: Any, rounding_mode: str | None = None) -> Any:
    floats_only(b)
    a, c = b.cast(a, b.result), b.cast(c, b.result)
    if rounding_mode is None:
        return b("div", a, c)
    if rounding_mode == "trunc":
        return b("trunc", b("div", a, c))
    # as Python divides: the quotient of what the remainder leaves, rounded without error
    rest = b("fmod", a, c)
    quotient = b("div", b("sub", a, rest), c)
    down = b("and", b("ne", rest, 0.0), b("xor", b("lt", c, 0.0), b("lt", rest, 0.0)))
    quotient = b("where", down, b("sub", quotient, 1.0), quotient)
    floor = b("floor", quotient)
    floor = b("where", b("gt", b("sub", quotient, floor), 0.5), b("add", floor, 1.0), floor)
    zero = b("copysign", b.constant(0.0, b.result), b("div", a, c))
    return b("where", b("eq", c, 0.0), b("div", a, c), b("where", b("eq", quotient, 0.0), zero, floor))


@lowers("floor_divide")
def _floor_divide(b: GraphBuilder, a: Any, c: Any) -> Any:
    return _div(b, a, c, "floor")


@lowers("fmod")
def _fmod(b: GraphBuilder, a: Any, c: Any) -> Any:
    floats_only(b)
    return b("fmod", b.cast(a, b.result), b.cast(c, b.result))


@lowers("remainder")
def _remainder(b: GraphBuilder, a: Any, c: Any) -> Any:
    """With the sign of the divisor."""
    floats_only(b)
    a, c = b.cast(a, b.result), b.cast(c, b.result)
    rest = b("fmod", a, c)
    other_sign = b("and", b("ne", rest, 0.0), b("xor", b("lt", c, 0.0), b("lt", rest, 0.0)))
    return b("where", other_sign, b("add", rest, c), rest)


@lowers("reciprocal")
def _reciprocal(b: GraphBuilder, a: Any) -> Any:
    a = b.cast(a, b.result)
    return b("div", b.constant(1.0, b.result), a)


@lowers("rsqrt")
def _rsqrt(b: GraphBuilder, a: Any) -> Any:
    return b("div", b.constant(1.0, b.result), b("sqrt", b.cast(a, b.result)))


@lowers("square")
def _square(b: GraphBuilder, a: Any) -> Any:
    return _pow(b, a, 2)


@lowers("pow")
def _pow(b: GraphBuilder, a: Any, exponent: Any) -> Any:
    number = None if isinstance(exponent, Value) else exponent
    if isinstance(exponent, Value) and b.nodes[exponent].op == "constant":
        number = b.nodes[exponent].value
    a = b.cast(a, b.result)
    if number == 0:
        return b.constant(1.0, b.result)
    if number in (1, 2, 3):
        power = a
        for _ in range(int(number) - 1):
            power = b("mul", power, a)
        return power
    floats_only(b)
    one = b.constant(1.0, b.result)
    if number in (-1, -2):
        return b("div", one, a if number == -1 else b("mul", a, a))
    if number in (0.5, -0.5):
        root = b("sqrt", a)
        return root if number > 0 else b("div", one, root)
    return b("pow", a, b.cast(exponent, b.result))


@lowers("round")
def _round(b: GraphBuilder, a: Any, decimals: int = 0) -> Any:
    if decimals:
        raise TypeError("rounding to decimals is not supported")
    a = b.cast(a, b.result)
    if b.nodes[a].op == "sigmoid":  # a spike with the gradient of its probability
        (z,) = map(Value, b.nodes[a].inputs)
        kind = torch.float64 if b.kind(z) == "float64" else torch.float32 if b.kind(z) == "float32" else b.dtype
        half = 0.75 * torch.finfo(kind).eps  # the largest z whose σ is ½ in torch on the CPU, and so is rounded to 0
        one, zero = b.constant(1.0, b.result), b.constant(0.0, b.result)
        return b("where", b("gt", z, half), one, b("where", b("le", z, half), zero, z))
    return _rounding("round")(b, a)


@lowers("frac")
def _frac(b: GraphBuilder, a: Any) -> Any:
    a = b.cast(a, b.result)
    return b("sub", a, b("trunc", a))


@lowers("clamp", "clip")
def clamp(b: GraphBuilder, a: Any, min: Any = None, max: Any = None) -> Any:
    if b.result == "bool":
        raise TypeError("not for bools")
    a = b.cast(a, b.result)
    if min is not None:
        a = b("maximum", a, b.cast(min, b.result))
    return a if max is None else b("minimum", a, b.cast(max, b.result))


@lowers("clamp_min")
def _clamp_min(b: GraphBuilder, a: Any, min: Any) -> Any:
    return clamp(b, a, min)


@lowers("clamp_max")
def _clamp_max(b: GraphBuilder, a: Any, max: Any) -> Any:
    return clamp(b, a, None, max)


@lowers("where")
def _where(b: GraphBuilder, condition: Any, a: Any, c: Any) -> Any:
    return b("where", b.cast(condition, "bool"), b.cast(a, b.result), b.cast(c, b.result))


@lowers("masked_fill")
def _masked_fill(b: GraphBuilder, a: Any, mask: Any, value: Any) -> Any:
    return _where(b, mask, value, a)


@lowers("isnan")
def _isnan(b: GraphBuilder, a: Any) -> Any:
    return b("ne", a, a)


@lowers("isinf")
def _isinf(b: GraphBuilder, a: Any) -> Any:
    return b("eq", b("abs", a), math.inf) if "float" in b.kind(a) else b.constant(0, "bool")


@lowers("isfinite")
def _isfinite(b: GraphBuilder, a: Any) -> Any:
    return b("lt", b("abs", a), math.inf) if "float" in b.kind(a) else b.constant(1, "bool")


@lowers("signbit")
def _signbit(b: GraphBuilder, a: Any) -> Any:
    return b("lt", b("copysign", b.constant(1.0, b.kind(a)), a) if "float" in b.kind(a) else a, 0)


@lowers("logaddexp")
def _logaddexp(b: GraphBuilder, a: Any, c: Any) -> Any:
    distance = b("abs", b("sub", a, c))
    together = b("add", b("maximum", a, c), b("log1p", b("exp", b("neg", distance))))
    return b("where", b("and", b("eq", b("abs", a), math.inf), b("eq", a, c)), a, together)


@lowers("nan_to_num")
def _nan_to_num(b: GraphBuilder, a: Any, nan: Any = None, posinf: Any = None, neginf: Any = None) -> Any:
    floats_only(b)
    dtype = {"float32": torch.float32, "float64": torch.float64}.get(b.result, b.dtype)
    most = torch.finfo(dtype).max
    for special, value in (
        (math.inf, most if posinf is None else posinf),
        (-math.inf, -most if neginf is None else neginf),
    ):
        a = b("where", b("eq", a, special), b.constant(value, b.result), a)
    return b("where", b("ne", a, a), b.constant(nan or 0.0, b.result), a)


@lowers("sinc")
def _sinc(b: GraphBuilder, a: Any) -> Any:
    scaled = b("mul", a, math.pi)
    return b("where", b("eq", a, 0.0), b.constant(1.0, b.result), b("div", b("sin", scaled), scaled))


@lowers("lerp")
def _lerp(b: GraphBuilder, a: Any, c: Any, weight: Any) -> Any:
    weight, distance = b.cast(weight, b.result), b("sub", c, a)
    near_a = b("add", a, b("mul", weight, distance))
    near_c = b("sub", c, b("mul", distance, b("sub", 1.0, weight)))
    return b("where", b("lt", b("abs", weight), 0.5), near_a, near_c)


@lowers("addcmul")
def _addcmul(b: GraphBuilder, a: Any, c: Any, d: Any, value: float = 1) -> Any:
    product = b("mul", c, value) if value != 1 else c
    return b("fma", product, d, a) if "float" in b.result else b("add", a, b("mul", product, d))  # as eager torch


@lowers("addcdiv")
def _addcdiv(b: GraphBuilder, a: Any, c: Any, d: Any, value: float = 1) -> Any:
    floats_only(b)
    return b("add", a, b("div", b("mul", c, value), d))


@lowers("deg2rad")
def _deg2rad(b: GraphBuilder, a: Any) -> Any:
    return b("mul", b.cast(a, b.result), math.pi / 180)


@lowers("rad2deg")
def _rad2deg(b: GraphBuilder, a: Any) -> Any:
    return b("mul", b.cast(a, b.result), 180 / math.pi)
