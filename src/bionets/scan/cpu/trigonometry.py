"""Trigonometry and the error function as LLVM IR on vectors: polynomials in float32, the C library in float64."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from bionets.scan.cpu.exponentials import (
    DOUBLE,
    FLOAT,
    clamped,
    exp,
    format_of,
    magnitude,
    polynomial,
    square_root,
    with_sign,
)
from bionets.scan.cpu.values import Value, fma, select


def library(name: str, *arguments: Value) -> Value:
    """Call a function of the C library for each element of float64 vectors."""
    function, kind = arguments[0].function, arguments[0].kind
    result: Any = function.value(kind, f"freeze {kind} poison")
    for lane in range(int(kind[1:].partition(" ")[0])):
        scalars = [function.value("double", f"extractelement {kind} {each.text}, i64 {lane}") for each in arguments]
        found = function.call_external(name, "double", *scalars)
        result = function.value(kind, f"insertelement {kind} {result.text}, double {found.text}, i64 {lane}")
    return Value(function, kind, result.text)


HALF_PI = (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15)  # their sum, each a float32
QUADRANTS_UP_TO = 60000.0  # above this limit, three parts are not enough
SIN = (0.9999999999955617, -0.1666666663087105, 0.00833332871261169, -0.00019839181133448602, 2.717150942499632e-06)
COS = (1.0, -0.4999999999933441, 0.04166666654139102, -0.0013888880263392002, 2.4798901651486274e-05)
COS_LAST = -2.7171482149925663e-07


def _quadrant(x: Value) -> tuple[Value, Value, Value]:
    """x = n·π/2 + r with |r| <= π/4: n, sin r and cos r."""
    shifted = fma(x, 2 / math.pi, FLOAT.magic)
    n = shifted - FLOAT.magic
    r = x
    for part in HALF_PI:
        r = fma(-n, part, r)
    z = r * r
    sine = fma(r * z, polynomial(z, SIN[1:]), r)
    return shifted.convert("bitcast", "i32"), sine, polynomial(z, (*COS, COS_LAST))


def _trigonometric(name: str, small: Callable[[Value], Value]) -> Callable[[Value], Value]:
    def function(x: Value) -> Value:
        f = x.function
        if format_of(x) is DOUBLE:
            return f.intrinsic(name, x)
        far = magnitude(x) > QUADRANTS_UP_TO
        bits = "i" + x.kind[1:].partition(" ")[0]
        any_far = f.value(bits, f"bitcast {far.kind} {far.text} to {bits}").differs(0)
        return f.if_else(any_far, lambda: f.intrinsic(name, x), lambda: small(x))

    return function


def _small_sin(x: Value) -> Value:
    n, sine, cosine = _quadrant(x)
    return _signed(select((n & 1).differs(0), cosine, sine), n & 2)


def _small_cos(x: Value) -> Value:
    n, sine, cosine = _quadrant(x)
    return _signed(select((n & 1).differs(0), sine, cosine), (n + 1) & 2)


def _small_tan(x: Value) -> Value:
    n, sine, cosine = _quadrant(x)
    odd = (n & 1).differs(0)
    return select(odd, -cosine, sine) / select(odd, sine, cosine)


def _signed(x: Value, two: Value) -> Value:
    """-x where `two` is 2, x where it is 0."""
    return (x.convert("bitcast", "i32") ^ (two << 30)).convert("bitcast", "float")


sin = _trigonometric("sin", _small_sin)
cos = _trigonometric("cos", _small_cos)
tan = _trigonometric("tan", _small_tan)

ATAN = (
    0.9999999995535376,
    -0.33333322488911593,
    0.19999558100363982,
    -0.14278576024807985,
    0.1105077127584966,
    -0.08785043282362845,
    0.06685281517877424,
    -0.04392841073326746,
    0.021912945865448393,
    -0.007030669470424213,
    0.001057607438057242,
)
ASIN = (
    1.0000000002307783,
    0.16666657639575913,
    0.07500571381024686,
    0.04450870949865153,
    0.03185718889411276,
    0.014295256037820107,
    0.0376771383418486,
)


def _odd(x: Value, coefficients: Sequence[float]) -> Value:
    """A function close to x near 0."""
    z = x * x
    return fma(x * z, polynomial(z, coefficients[1:]), x)


def atan(x: Value) -> Value:
    if format_of(x) is DOUBLE:
        return x.function.intrinsic("atan", x)
    a = magnitude(x)
    inverse = a > 1
    angle = _odd(select(inverse, 1 / a, a), ATAN)
    return with_sign(select(inverse, math.pi / 2 - angle, angle), x)


def atan2(y: Value, x: Value) -> Value:
    """The angle of the point (x, y)."""
    if format_of(x) is DOUBLE:
        return x.function.intrinsic("atan2", y, x)
    a, b = magnitude(y), magnitude(x)
    steep = a > b
    ratio = select(steep, b, a) / select(steep, a, b)
    ratio = select(a.equals(b), x.function.constant(x.kind, 1), ratio)  # infinities, and zeros
    ratio = select(a.equals(0) & b.equals(0), x.function.constant(x.kind, 0), ratio)
    angle = _odd(ratio, ATAN)
    angle = select(steep, math.pi / 2 - angle, angle)
    left = with_sign(x.function.constant(x.kind, 1), x) < 0
    angle = with_sign(select(left, math.pi - angle, angle), y)
    return select(a.differs(a) | b.differs(b), x + y, angle)


def asin(x: Value) -> Value:
    if format_of(x) is DOUBLE:
        return x.function.intrinsic("asin", x)
    a = magnitude(x)
    far = a > 0.5
    near_one = _odd(square_root((1 - a) * 0.5), ASIN)
    return with_sign(select(far, math.pi / 2 - (near_one + near_one), _odd(select(far, a * 0, a), ASIN)), x)


def acos(x: Value) -> Value:
    if format_of(x) is DOUBLE:
        return x.function.intrinsic("acos", x)
    a = magnitude(x)
    near_one = _odd(square_root((1 - a) * 0.5), ASIN) * 2
    far = select(x < 0, math.pi - near_one, near_one)
    return select(a > 0.5, far, math.pi / 2 - _odd(select(a > 0.5, x * 0, x), ASIN))


ERF = (
    1.1283791670615435,
    -0.3761263846802871,
    0.11283782495236845,
    -0.026865430727670243,
    0.005221031807858023,
    -0.0008484080405535107,
    0.00011265959025606609,
    -9.667044571486996e-06,
)
ERFCX = (
    0.282093220568635,
    0.28213784858294955,
    0.24633912491350737,
    0.1793289644578837,
    0.07373491070025645,
    0.008450900871868713,
    -0.029778453164194155,
    -0.19187366180767257,
    0.21929649521895894,
    -0.06990967597034368,
)


def _erf_small(x: Value) -> Value:
    return x * polynomial(x * x, ERF)


def _erfc_large(a: Value) -> Value:
    """exp(-a²) times a polynomial in 1 / (1 + a/2), for 1 <= a."""
    a = clamped(a, 1, 10.2)
    square = a * a
    t = 1 / fma(a, 0.5, 1.0)
    return exp(-square) * (1 - fma(a, a, -square)) * (t * polynomial(t, ERFCX))


def erf(x: Value) -> Value:
    if format_of(x) is DOUBLE:
        return library("erf", x)
    a = magnitude(x)
    return select(a < 1, _erf_small(x), with_sign(1 - _erfc_large(a), x))


def erfc(x: Value) -> Value:
    if format_of(x) is DOUBLE:
        return library("erfc", x)
    a = magnitude(x)
    large = _erfc_large(a)
    return select(a < 1, 1 - _erf_small(x), select(x < 0, 2 - large, large))
