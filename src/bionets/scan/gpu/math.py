"""Elementwise functions for Triton kernels, from operations of both the GPU and Triton's interpreter (except `modulus`
and `erfc`).

Each is accurate to a few units in the last place, in float32 and float64 (`power` only in float32), and correct at
zero, infinities and NaN.
Polynomials are used near zero, where the usual formula would suffer from cancellation.
"""

# mypy: disable-error-code="no-untyped-def"

import os

import triton
import triton.language as tl
from triton.language.extra import libdevice

INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")  # the interpreter has no functions of libdevice


@triton.jit
def divide(a, b):
    """a / b with IEEE rounding, so that the same values cross a threshold as in eager torch."""
    if a.dtype == tl.float64:
        return a / b
    else:  # noqa: RET505  (Triton 3.6 compiles what follows a return)
        return tl.div_rn(a, b)


@triton.jit
def negate(x):
    """-x. (Triton 3.6 computes 0 - x, whose zero has the other sign.)"""
    if x.dtype.is_floating():
        return x * -1.0
    else:  # noqa: RET505
        return -x


@triton.jit
def signed(magnitude, x):
    """The magnitude with the sign of x; at zero and NaN, x itself."""
    return tl.where(x > 0, magnitude, tl.where(x < 0, -magnitude, x))


@triton.jit
def square_root(x):
    if x.dtype == tl.float64:
        return tl.sqrt(x)
    else:  # noqa: RET505
        return tl.sqrt_rn(x)


@triton.jit
def exp(x):
    """2ⁿ·exp(r) with x = n·ln 2 + r: the GPU's own exp of a float32 loses digits as |x| grows."""
    if x.dtype == tl.float64:
        return tl.exp(x)
    middle = tl.abs(x) < 80.0
    inner = tl.where(middle, x, 0.0)
    n = tl.floor(tl.fma(inner, 1.4426950408889634, 0.5))
    r = tl.fma(n, -1.42860682030941723212e-6, tl.fma(n, -0.693145751953125, inner))
    return tl.where(middle, tl.exp2(n) * tl.exp(r), tl.exp(x))


@triton.jit
def expm1(x):
    # Horner's scheme for the Taylor series; |x| < 0.35 leaves a remainder below one unit in the last place
    small = tl.abs(x) < 0.35
    inner = tl.where(small, x, 0.0)
    series = inner * 0.0 + 1.0
    if x.dtype == tl.float64:
        for k in tl.static_range(16, 1, -1):
            series = 1.0 + series * inner / k
    else:
        for k in tl.static_range(8, 1, -1):
            series = 1.0 + series * inner * (1.0 / k)
    return tl.where(small, inner * series, exp(x) - 1.0)


@triton.jit
def tanh(x):
    if x.dtype == tl.float64:
        e = expm1(-2.0 * tl.abs(x))
        magnitude = -e / (2.0 + e)
        return tl.where(x < 0, -magnitude, magnitude)
    else:  # noqa: RET505
        # near zero x + x³·P(x²), with P fitted to tanh in the Chebyshev nodes of [0, 0.625²]
        square = x * x
        series = tl.fma(square, -0.00610495, 0.02100364)
        series = tl.fma(series, square, -0.0538525)
        series = tl.fma(series, square, 0.13332782)
        series = tl.fma(series, square, -0.33333329)
        magnitude = 1.0 - 2.0 / (exp(2.0 * tl.abs(x)) + 1.0)
        far = tl.where(x < 0, -magnitude, magnitude)
        return tl.where(tl.abs(x) < 0.625, tl.fma(x * square, series, x), far)


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + exp(-x))


@triton.jit
def log1p(x):
    # 2·artanh(x / (2 + x)) near zero
    small = tl.abs(x) < 0.4
    inner = tl.where(small, x, 0.0)
    ratio = inner / (2.0 + inner)
    square = ratio * ratio
    series = square * 0.0
    if x.dtype == tl.float64:
        for k in tl.static_range(25, 0, -2):
            series = series * square + 1.0 / k
    else:
        for k in tl.static_range(13, 0, -2):
            series = series * square + 1.0 / k
    return tl.where(small, 2.0 * ratio * series, tl.log(1.0 + x))


@triton.jit
def atan(x):
    # twice reduced: to [0, 1] by atan(a) = π/2 - atan(1/a), then to |z| <= tan(π/8)
    a = tl.abs(x)
    inverse = a > 1.0
    b = tl.where(inverse, 1.0 / a, a)
    shifted = b > 0.41421356237309503
    z = tl.where(shifted, (b - 1.0) / (b + 1.0), b)
    square = z * z
    series = square * 0.0
    if x.dtype == tl.float64:
        for k in tl.static_range(41, 0, -4):
            series = (series * square - 1.0 / (k + 2)) * square + 1.0 / k
    else:
        for k in tl.static_range(17, 0, -4):
            series = (series * square - 1.0 / (k + 2)) * square + 1.0 / k
    angle = z * series
    angle = tl.where(shifted, 0.7853981633974483 + angle, angle)
    angle = tl.where(inverse, 1.5707963267948966 - angle, angle)
    return signed(angle, x)


@triton.jit
def asin(x):
    return atan2(x, square_root((1.0 - x) * (1.0 + x)))


@triton.jit
def acos(x):
    return atan2(square_root((1.0 - x) * (1.0 + x)), x)


@triton.jit
def atan2(y, x):
    """The angle of the point (x, y)."""
    a, b = tl.abs(y), tl.abs(x)
    smaller, larger = tl.where(a > b, b, a), tl.where(a > b, a, b)
    ratio = tl.where(a == b, tl.where(a == 0, 0.0, 1.0), divide(smaller, tl.where(larger == 0, 1.0, larger)))
    angle = atan(ratio.to(x.dtype))
    angle = tl.where(a > b, 1.5707963267948966 - angle, angle)
    angle = tl.where(negative(x), 3.141592653589793 - angle, angle)
    return tl.where((x != x) | (y != y), x + y, copy_sign(angle, y)).to(x.dtype)


@triton.jit
def negative(x):
    """Whether the sign of a number, which may be -0, is negative."""
    return (x < 0) | ((x == 0) & (1.0 / x < 0))


@triton.jit
def copy_sign(x, of):
    return tl.where(negative(of), negate(tl.abs(x)), tl.abs(x))


@triton.jit
def sinh(x):
    half = exp(tl.abs(x) * 0.5)
    e = expm1(tl.where(tl.abs(x) < 80.0, tl.abs(x), 0.0))
    return signed(tl.where(tl.abs(x) < 80.0, (e + e / (e + 1.0)) * 0.5, half * 0.5 * half), x)


@triton.jit
def cosh(x):
    half = exp(tl.abs(x) * 0.5)
    return half * 0.5 * half + 0.5 / half / half


@triton.jit
def asinh(x):
    a = tl.abs(x)
    large = a > 1e18
    inner = tl.where(large, 1.0, a)
    magnitude = tl.where(
        large, tl.log(a) + 0.6931471805599453, log1p(inner + inner * inner / (1.0 + square_root(inner * inner + 1.0)))
    )
    return signed(magnitude, x).to(x.dtype)


@triton.jit
def acosh(x):
    large = x > 1e18
    t = tl.where(large, 1.0, x) - 1.0
    small = log1p(t + square_root(t + t + t * t))
    return tl.where(x >= 1.0, tl.where(large, tl.log(x) + 0.6931471805599453, small), float("nan")).to(x.dtype)


@triton.jit
def atanh(x):
    a = tl.abs(x)
    magnitude = 0.5 * log1p((a + a) / (1.0 - a))
    return signed(magnitude, x).to(x.dtype)


@triton.jit
def hypot(a, b):
    # in float64, and from the ratio of the two, because the squares may overflow or underflow
    x, y = tl.abs(a).to(tl.float64), tl.abs(b).to(tl.float64)
    smaller, larger = tl.where(x > y, y, x), tl.where(x > y, x, y)
    ratio = smaller / tl.where(larger == 0, 1.0, larger)
    infinite = (x == float("inf")) | (y == float("inf"))
    return tl.where(infinite, float("inf"), larger * tl.sqrt(1.0 + ratio * ratio)).to(a.dtype)


@triton.jit
def modulus(a, b):
    """The remainder of a divided by b, rounded towards zero. (On a GPU, `%` is off by b where a / b rounds up.)"""
    if INTERPRETED:
        return a % b
    else:  # noqa: RET505
        return libdevice.fmod(a, b)


@triton.jit
def erfc(x):
    if INTERPRETED:
        return 1.0 - tl.erf(x)
    else:  # noqa: RET505
        return libdevice.erfc(x)


@triton.jit
def trunc(x):
    return tl.where(x < 0, tl.ceil(x), tl.floor(x))


@triton.jit
def round_even(x):
    down = tl.floor(x)
    part = x - down
    odd = down - 2.0 * tl.floor(down * 0.5) == 1.0
    up = (part > 0.5) | ((part == 0.5) & odd)
    near = tl.where(up, down + 1.0, down)
    return tl.where(near == 0, x * 0.0, near)  # a zero with the sign of x


@triton.jit
def sign(x):
    return tl.where(x > 0, 1.0, 0.0).to(x.dtype) - tl.where(x < 0, 1.0, 0.0).to(x.dtype)


@triton.jit
def maximum(a, b):
    return tl.where(a != a, a, tl.where(b != b, b, tl.where(a > b, a, b)))


@triton.jit
def minimum(a, b):
    return tl.where(a != a, a, tl.where(b != b, b, tl.where(a < b, a, b)))


@triton.jit
def power(a, b):
    """aᵇ with the special values of the C library, computed in float64. The relative error of a float64 result is about
    |b·log a| units in the last place.
    """
    base, exponent = a.to(tl.float64), b.to(tl.float64)
    magnitude = tl.exp(exponent * tl.log(tl.abs(base)))
    whole = tl.floor(exponent) == exponent
    odd = whole & (exponent - 2.0 * tl.floor(exponent * 0.5) == 1.0)
    infinite = tl.abs(base) == float("inf")
    of_negative = tl.where(odd, negate(magnitude), tl.where(whole | infinite | (base == 0), magnitude, float("nan")))
    result = tl.where(negative(base), of_negative, magnitude)
    one = (exponent == 0) | (base == 1) | ((base == -1) & (tl.abs(exponent) == float("inf")))
    return tl.where(one, 1.0, result).to(a.dtype)


@triton.jit
def times(row, weight):
    """A row `[1, K]` times weight `[H, K]` transposed: `[1, H]`, summed in the precision of both."""
    return tl.sum(weight * row, 1)[None, :]


@triton.jit
def times_transposed(row, weight):
    """A row `[1, H]` times weight `[H, K]`: `[1, K]`. Only the layout of the row changes, not that of the weight."""
    return tl.sum(weight * tl.sum(row, 0)[:, None], 0)[None, :]
