"""Elementwise functions that LLVM vectorises: no branch, no call, no table.

float32 versions are polynomials with bit tricks, within 2.5 units in the last place, right at infinities and NaN.
float64 versions call the C library: slower and exact enough for gradcheck. LLVM never contracts sums and products, so
that thresholds fall on the same side as in eager torch; the polynomials use fused multiply-add explicitly, and so do
gradients (see `numba_instructions.products_in_sums`).
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import float32, int32, njit, types
from numba.extending import intrinsic as _intrinsic

intrinsic: Any = _intrinsic  # its type hints do not know what it does to a signature

_options: dict[str, Any] = {"error_model": "numpy", "no_cpython_wrapper": True}


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a·b + c, rounded once."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = values[0].type
        function = builder.module.declare_intrinsic("llvm.fma", [kind], ir.FunctionType(kind, [kind] * 3))
        return builder.call(function, values)

    return a(a, a, a), emit


@intrinsic
def select(typing: Any, condition: Any, a: Any, b: Any) -> Any:
    """`a if condition else b` without a branch."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.select(values[0], values[1], values[2])

    return a(types.boolean, a, a), emit


@intrinsic
def float_bits(typing: Any, a: Any) -> Any:
    """The bits of a float32 as int32."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], ir.IntType(32))

    return int32(float32), emit


@intrinsic
def bits_float(typing: Any, a: Any) -> Any:
    """The float32 with these bits."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], ir.FloatType())

    return float32(int32), emit


def _integer(operation: str) -> Any:
    """int32 arithmetic that wraps around (Numba itself would widen to int64)."""

    @intrinsic
    def integer(typing: Any, a: Any, b: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return getattr(builder, operation)(*values)

        return int32(int32, int32), emit

    return integer


add_bits = _integer("add")
subtract_bits = _integer("sub")
shift_left = _integer("shl")
shift_right = _integer("ashr")

_MAGIC = np.float32(12582912.0)  # 1.5 · 2²³: adding it rounds to an integer, which is then in the low bits
_MAGIC_BITS = np.int32(0x4B400000)
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693145751953125)  # few bits, so that n · high is exact
_LN2_LOW = np.float32(1.42860682030941723212e-6)
_TAYLOR = [np.float32(1 / math.factorial(n)) for n in range(9)]
_C2, _C3, _C4, _C5, _C6, _C7 = _TAYLOR[2:8]
_ONE, _TWO, _HALF = np.float32(1), np.float32(2), np.float32(0.5)
_I = np.int32


@njit(**_options)
def _reduced(x: Any) -> Any:
    """x = n·ln 2 + r with |r| <= ln 2 / 2; returns the integer n and expm1(r)."""
    shifted = fma(x, _LOG2_E, _MAGIC)
    n = shifted - _MAGIC
    r = fma(-n, _LN2_LOW, fma(-n, _LN2_HIGH, x))
    square = r * r  # pairs of terms, since a chain of them all would be waited for
    p = fma(square, fma(square, fma(r, _C7, _C6), fma(r, _C5, _C4)), fma(r, _C3, _C2))
    return subtract_bits(float_bits(shifted), _MAGIC_BITS), fma(square, p, r)


@njit(**_options)
def _power_of_two(n: Any) -> Any:
    return bits_float(shift_left(add_bits(n, _I(127)), _I(23)))


@njit(**_options)
def narrow_exp(x: Any) -> Any:
    x = select(x > np.float32(90), np.float32(90), select(x < np.float32(-105), np.float32(-105), x))
    n, p = _reduced(x)
    half = shift_right(n, _I(1))  # in two halves, since 2ⁿ alone may lie outside of float32
    return fma(p, _power_of_two(half), _power_of_two(half)) * _power_of_two(subtract_bits(n, half))


@njit(**_options)
def _expm1_small(x: Any) -> Any:
    """expm1 for -80 <= x <= 80."""
    n, p = _reduced(x)
    scale = _power_of_two(n)
    return fma(scale, p, scale - _ONE)


@njit(**_options)
def narrow_expm1(x: Any) -> Any:
    middle = select(x > np.float32(80), np.float32(80), select(x < np.float32(-80), np.float32(-80), x))
    return select(x > np.float32(80), narrow_exp(x), _expm1_small(middle))


@njit(**_options)
def narrow_tanh(x: Any) -> Any:
    double = x + x
    double = select(double > np.float32(40), np.float32(40), select(double < np.float32(-40), np.float32(-40), double))
    e = _expm1_small(double)
    return e / (e + _TWO)


@njit(**_options)
def narrow_sigmoid(x: Any) -> Any:
    x = select(x > np.float32(87), np.float32(87), select(x < np.float32(-89), np.float32(-89), x))
    n, p = _reduced(-x)
    return _ONE / (_ONE + (_ONE + p) * _power_of_two(n))  # at -89 the power is infinite, and so the result 0


_SQRT_HALF_BITS = np.int32(0x3F3504F3)


@njit(**_options)
def narrow_log(x: Any) -> Any:
    shifted = subtract_bits(float_bits(x), _SQRT_HALF_BITS)
    exponent = shift_right(shifted, _I(23))
    m = bits_float(subtract_bits(float_bits(x), shift_left(exponent, _I(23))))  # in [sqrt(1/2), sqrt(2))
    f = m - _ONE
    s = f / (_TWO + f)
    z = s * s
    p = fma(z, np.float32(2 / 9), np.float32(2 / 7))
    p = fma(z, p, np.float32(2 / 5))
    p = fma(z, p, np.float32(2 / 3))
    half_square = _HALF * f * f
    tail = s * fma(z, p, half_square)  # log(1 + f) = f - (f²/2 - s·(f²/2 + z·p))
    e = np.float32(exponent)
    result = fma(e, _LN2_HIGH, f - (half_square - fma(e, _LN2_LOW, tail)))
    result = select(x > np.float32(3.4028235e38), x, result)
    result = select(x == np.float32(0), np.float32(-np.inf), result)
    return select(x >= np.float32(0), result, np.float32(np.nan))


@njit(**_options)
def narrow_log1p(x: Any) -> Any:
    u = _ONE + x
    corrected = narrow_log(u) * (x / (u - _ONE))
    return select(
        u == _ONE, x, select(u > np.float32(3.4028235e38), u, select(u == np.float32(0), narrow_log(u), corrected))
    )


@njit(**_options)
def wide_exp(x: Any) -> Any:
    return math.exp(x)


@njit(**_options)
def wide_expm1(x: Any) -> Any:
    return math.expm1(x)


@njit(**_options)
def wide_tanh(x: Any) -> Any:
    return math.tanh(x)


@njit(**_options)
def wide_sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + math.exp(-x))


@njit(**_options)
def wide_log(x: Any) -> Any:
    return math.log(x)


@njit(**_options)
def wide_log1p(x: Any) -> Any:
    return math.log1p(x)
