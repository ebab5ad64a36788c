"""The functions of the table of operations that are not a single instruction, as LLVM IR.

The functions use neither branches nor tables, so that they compute on whole vectors. They are polynomials with bit
operations, accurate to 3 units in the last place (erfc: 9) and correct at infinities and NaN. exp, log and functions
derived from them exist in both precisions; trigonometry in float64 calls the C library. LLVM never contracts sums and
products, so that the same values cross a threshold as in eager torch; polynomials use explicit fused multiply-adds.
"""

from collections.abc import Callable

from bionets.scan.cpu import exponentials, trigonometry
from bionets.scan.cpu.exponentials import DOUBLE, INFINITY, NAN, exp, format_of, log, magnitude, square_root
from bionets.scan.cpu.trigonometry import library
from bionets.scan.cpu.values import Value, select


def pow(a: Value, b: Value) -> Value:
    """aᵇ with the special values of the C library; float32 is computed in float64."""
    if format_of(a) is DOUBLE:
        return a.function.intrinsic("pow", a, b)
    base, exponent = a.convert("fpext", "double"), b.convert("fpext", "double")
    power = exp(exponent * log(magnitude(base)))
    whole = a.function.intrinsic("trunc", exponent).equals(exponent)
    half = exponent * 0.5
    odd = whole & a.function.intrinsic("trunc", half).differs(half)
    sign = base.convert("bitcast", "i64") < 0
    no_root = (base < 0) & ~whole & base.differs(-INFINITY) & (magnitude(exponent) < INFINITY)
    power = select(no_root, a.function.constant(power.kind, NAN), select(odd & sign, -power, power))
    one = exponent.equals(0) | base.equals(1) | (base.equals(-1) & magnitude(exponent).equals(INFINITY))
    return select(one, a.function.constant(power.kind, 1), power).convert("fptrunc", "float")


def hypot(a: Value, b: Value) -> Value:
    """√(a² + b²); float32 is computed in float64, in which no square overflows."""
    if format_of(a) is DOUBLE:
        return library("hypot", a, b)
    wide = [each.convert("fpext", "double") for each in (a, b)]
    root = square_root(wide[0] * wide[0] + wide[1] * wide[1]).convert("fptrunc", "float")
    infinite = magnitude(a).equals(INFINITY) | magnitude(b).equals(INFINITY)
    return select(infinite, a.function.constant(a.kind, INFINITY), root)


OTHERS: dict[str, Callable[..., Value]] = {"pow": pow, "hypot": hypot, "fmod": lambda a, b: a % b}


def call(name: str, *arguments: Value) -> Value:
    """Call a function of this name, which the module defines once for each type."""
    kind, function = arguments[0].kind, arguments[0].function
    symbol = f"{name}.{kind[1:-1].replace(' ', '') if kind.startswith('<') else kind}"
    parameters = dict.fromkeys("abc"[: len(arguments)], kind)
    body = OTHERS.get(name) or getattr(exponentials, name, None) or getattr(trigonometry, name)
    function.module.inlined(symbol, parameters, kind, body)
    return function.call(symbol, kind, *arguments)
