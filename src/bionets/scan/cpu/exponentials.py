"""exp, log and functions derived from them, as LLVM IR on vectors of either precision."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bionets.scan.cpu.values import Value, element, fma, select

INFINITY, NAN = math.inf, math.nan


@dataclass(frozen=True)
class Format:
    """A floating-point format. `magic`: adding this number rounds to an integer, which is then in the low bits."""

    integer: str
    fraction_bits: int
    bias: int
    magic: float
    magic_bits: int
    ln2: tuple[float, float]  # the first part has few bits, so that n times it is exact
    terms: int  # number of terms of the series of exp, from the square on
    log_terms: int
    largest: float  # the largest x with a finite exp
    smallest: float  # an x at which exp is 0
    one: float  # tanh is 1 from this x on
    maximum: float
    root_half_bits: int


FLOAT = Format(
    "i32",
    23,
    127,
    12582912.0,
    0x4B400000,
    (0.693145751953125, 1.42860682030941723212e-6),
    6,
    4,
    90.0,
    -105.0,
    20.0,
    3.4028234663852886e38,
    0x3F3504F3,
)
DOUBLE = Format(
    "i64",
    52,
    1023,
    6755399441055744.0,
    0x4338000000000000,
    (0.6931471803691238, 1.9082149292705877e-10),
    12,
    11,
    711.0,
    -746.0,
    40.0,
    1.7976931348623157e308,
    0x3FE6A09E667F3BCD,
)


def format_of(x: Value) -> Format:
    return FLOAT if element(x.kind) == "float" else DOUBLE


def polynomial(x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial with these coefficients, lowest power first. It is evaluated in pairs, to shorten the dependency
    chain.
    """
    constants = [x.function.constant(x.kind, coefficient) for coefficient in coefficients]
    pairs = [fma(x, odd, even) for even, odd in zip(constants[::2], constants[1::2], strict=False)]
    pairs += constants[len(constants) - len(constants) % 2 :]
    if len(pairs) == 1:
        return pairs[0]
    square = x * x
    result = pairs[-1]
    for pair in pairs[-2::-1]:
        result = fma(square, result, pair)
    return result


def magnitude(x: Value) -> Value:
    return x.function.intrinsic("fabs", x)


def with_sign(x: Value, of: Value) -> Value:
    return x.function.intrinsic("copysign", x, of)


def square_root(x: Value) -> Value:
    return x.function.intrinsic("sqrt", x)


def clamped(x: Value, low: float, high: float) -> Value:
    """The value clamped to a range; NaN remains NaN."""
    return select(x > high, x.function.constant(x.kind, high), select(x < low, x.function.constant(x.kind, low), x))


def _reduced(x: Value) -> tuple[Value, Value]:
    """x = n·ln 2 + r with |r| <= ln 2 / 2: the integer n and expm1(r)."""
    form = format_of(x)
    shifted = fma(x, 1 / math.log(2), form.magic)
    n = shifted - form.magic
    r = fma(-n, form.ln2[1], fma(-n, form.ln2[0], x))
    series = polynomial(r, [1 / math.factorial(k) for k in range(2, 2 + form.terms)])
    return shifted.convert("bitcast", form.integer) - form.magic_bits, fma(r * r, series, r)


def _power_of_two(n: Value) -> Value:
    form = FLOAT if element(n.kind) == "i32" else DOUBLE
    return ((n + form.bias) << form.fraction_bits).convert("bitcast", "float" if form is FLOAT else "double")


def _scaled(n: Value, p: Value) -> Value:
    """2ⁿ·(1 + p), computed with two factors, because 2ⁿ may be outside the range of the format."""
    half = n >> 1
    return fma(p, _power_of_two(half), _power_of_two(half)) * _power_of_two(n - half)


def exp(x: Value) -> Value:
    form = format_of(x)
    return _scaled(*_reduced(clamped(x, form.smallest, form.largest)))


def exp2(x: Value) -> Value:
    form = format_of(x)
    x = clamped(x, form.smallest / math.log(2), form.largest / math.log(2))
    shifted = x + form.magic
    r = (x - (shifted - form.magic)) * math.log(2)
    series = polynomial(r, [1 / math.factorial(k) for k in range(2, 2 + form.terms)])
    return _scaled(shifted.convert("bitcast", form.integer) - form.magic_bits, fma(r * r, series, r))


def _expm1_small(x: Value) -> Value:
    """expm1(x) for arguments whose 2ⁿ is within the range of the format."""
    n, p = _reduced(x)
    scale = _power_of_two(n)
    return fma(scale, p, scale - 1)


def expm1(x: Value) -> Value:
    limit = format_of(x).largest - 10
    return select(x > limit, exp(x), _expm1_small(clamped(x, -limit, limit)))


def tanh(x: Value) -> Value:
    limit = 2 * format_of(x).one
    e = _expm1_small(clamped(x + x, -limit, limit))
    return e / (e + 2)


def sigmoid(x: Value) -> Value:
    largest = 89.0 if format_of(x) is FLOAT else 709.8
    n, p = _reduced(-clamped(x, -largest, largest - 2))
    return 1 / (1 + (1 + p) * _power_of_two(n))  # at -89 the power is infinite, and so the result 0


def sinh(x: Value) -> Value:
    a, limit = magnitude(x), format_of(x).largest - 10
    e = _expm1_small(clamped(a, 0, limit))
    half = exp(a * 0.5)
    return with_sign(select(a > limit, half * 0.5 * half, (e + e / (e + 1)) * 0.5), x)


def cosh(x: Value) -> Value:
    half = exp(magnitude(x) * 0.5)
    e = half * half
    return select(e < INFINITY, e * 0.5 + 0.5 / e, half * 0.5 * half)


def _split(x: Value) -> tuple[Value, Value, Value]:
    """x = 2ᵉ·(1 + f) with 1 + f in [√½, √2): e, and log(1 + f) = f - rest."""
    form = format_of(x)
    bits = x.convert("bitcast", form.integer)
    exponent = (bits - form.root_half_bits) >> form.fraction_bits
    f = (bits - (exponent << form.fraction_bits)).convert("bitcast", element(x.kind)) - 1
    s = f / (f + 2)
    z = s * s
    half_square = f * 0.5 * f
    tail = s * fma(z, polynomial(z, [2 / (2 * k + 3) for k in range(form.log_terms)]), half_square)
    return exponent.convert("sitofp", element(x.kind)), f, half_square - tail


def _of_any(x: Value, result: Value) -> Value:
    """A logarithm, extended to arguments that are not positive and finite."""
    result = select(x > format_of(x).maximum, x, result)
    result = select(x.equals(0), x.function.constant(x.kind, -INFINITY), result)
    return select(x >= 0, result, NAN)


def log(x: Value) -> Value:
    high, low = format_of(x).ln2
    e, f, rest = _split(x)
    return _of_any(x, fma(e, high, f - (rest - e * low)))


def _log_to_base(base: float) -> Callable[[Value], Value]:
    def logarithm(x: Value) -> Value:
        e, f, rest = _split(x)
        if format_of(x) is FLOAT:  # in float64, so that integer powers are exact
            e, f, rest = (part.convert("fpext", "double") for part in (e, f, rest))
            result = (e * math.log(2, base) + (f - rest) * (1 / math.log(base))).convert("fptrunc", "float")
        else:
            result = fma(e, math.log(2, base), (f - rest) * (1 / math.log(base)))
        return _of_any(x, result)

    return logarithm


log2, log10 = _log_to_base(2), _log_to_base(10)


def log1p(x: Value) -> Value:
    u = x + 1
    logarithm = log(u)
    corrected = logarithm * (x / (u - 1))
    ordinary = select(u.equals(0), logarithm, corrected)
    return select(u.equals(1), x, select(u > format_of(x).maximum, u, ordinary))


def asinh(x: Value) -> Value:
    a, large = magnitude(x), format_of(x).maximum ** 0.5
    square = a * a
    small = log1p(a + square / (1 + square_root(square + 1)))
    return with_sign(select(a >= large, log(a) + math.log(2), small), x)


def acosh(x: Value) -> Value:
    t = x - 1
    result = select(x >= format_of(x).maximum ** 0.5, log(x) + math.log(2), log1p(t + square_root(t + t + t * t)))
    return select(x >= 1, result, NAN)


def atanh(x: Value) -> Value:
    a = magnitude(x)
    return with_sign(log1p((a + a) / (1 - a)) * 0.5, x)
