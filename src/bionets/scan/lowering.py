"""The translation of torch operations into the operations of a graph (see `operations`).

A lowering receives the builder and the arguments of the operation, with tensors replaced by node numbers (`Value`).
The builder knows the kind of the result (`b.result`) and the one to which torch promotes the arguments (`b.common`).
What is not here is tried through torch's own decompositions before it is refused.
"""

import math
from collections.abc import Callable
from typing import Any

import torch

from bionets.scan.graph import GraphBuilder, Value
from bionets.scan.operations import COMPARISONS

# they leave memory and value alone; a result that shares the address of its argument is the same node
IGNORED = {"detach", "alias", "view", "expand", "view_as", "lift_fresh", "_unsafe_view", "squeeze", "unsqueeze"}
IGNORED |= {"_assert_tensor_metadata"}
# of their argument they take the shape, not the value
SHAPE_ONLY = {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}

Lowering = Callable[..., Any]
LOWERINGS: dict[str, Lowering] = {}


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    def register(lowering: Lowering) -> Lowering:
        for name in names:
            LOWERINGS[name] = lowering
        return lowering

    return register


def _is_int(kind: str) -> bool:
    return "int" in kind


def _floats_only(b: GraphBuilder) -> None:
    if _is_int(b.result) or b.result == "bool":
        raise TypeError("only for floats")


def _of_floats(op: str) -> Lowering:
    """An operation whose inputs torch makes floats."""

    def lowering(b: GraphBuilder, *values: Any) -> Any:
        _floats_only(b)
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
    return lambda b, a: b.cast(a, b.result) if _is_int(b.result) else b(op, b.cast(a, b.result))


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
    _floats_only(b)
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
    return b("add", a, b("mul", c, alpha)) if _is_int(b.result) else b("fma", c, b.constant(alpha, b.result), a)


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
    _floats_only(b)
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
    _floats_only(b)
    return b("fmod", b.cast(a, b.result), b.cast(c, b.result))


@lowers("remainder")
def _remainder(b: GraphBuilder, a: Any, c: Any) -> Any:
    """With the sign of the divisor."""
    _floats_only(b)
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
    _floats_only(b)
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
def _clamp(b: GraphBuilder, a: Any, min: Any = None, max: Any = None) -> Any:
    if b.result == "bool":
        raise TypeError("not for bools")
    a = b.cast(a, b.result)
    if min is not None:
        a = b("maximum", a, b.cast(min, b.result))
    return a if max is None else b("minimum", a, b.cast(max, b.result))


@lowers("clamp_min")
def _clamp_min(b: GraphBuilder, a: Any, min: Any) -> Any:
    return _clamp(b, a, min)


@lowers("clamp_max")
def _clamp_max(b: GraphBuilder, a: Any, max: Any) -> Any:
    return _clamp(b, a, None, max)


@lowers("hardtanh")
def _hardtanh(b: GraphBuilder, a: Any, low: float = -1.0, high: float = 1.0) -> Any:
    return _clamp(b, a, low, high)


@lowers("relu")
def _relu(b: GraphBuilder, a: Any) -> Any:
    return _clamp(b, a, 0)


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
    _floats_only(b)
    dtype = {"float32": torch.float32, "float64": torch.float64}.get(b.result, b.dtype)
    most = torch.finfo(dtype).max
    for special, value in (
        (math.inf, most if posinf is None else posinf),
        (-math.inf, -most if neginf is None else neginf),
    ):
        a = b("where", b("eq", a, special), b.constant(value, b.result), a)
    return b("where", b("ne", a, a), b.constant(nan or 0.0, b.result), a)


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


@lowers("log_sigmoid_forward")
def _log_sigmoid(b: GraphBuilder, a: Any) -> Any:
    z = b("exp", b("neg", b("abs", a)))
    return b("sub", b("minimum", a, 0.0), b("log1p", z)), z


@lowers("log_sigmoid_backward")
def _log_sigmoid_backward(b: GraphBuilder, gradient: Any, a: Any, _buffer: Any) -> Any:
    return b("mul", gradient, b("sigmoid", b("neg", a)))


@lowers("sigmoid_backward")
def _sigmoid_backward(b: GraphBuilder, gradient: Any, y: Any) -> Any:
    return b("mul", b("mul", gradient, b("sub", 1.0, y)), y)


@lowers("tanh_backward")
def _tanh_backward(b: GraphBuilder, gradient: Any, y: Any) -> Any:
    return b("mul", gradient, b("sub", 1.0, b("mul", y, y)))


@lowers("threshold")
def _threshold(b: GraphBuilder, a: Any, threshold: float, value: float) -> Any:
    return b("where", b("le", a, threshold), b.constant(value, b.result), a)


@lowers("threshold_backward")
def _threshold_backward(b: GraphBuilder, gradient: Any, a: Any, threshold: float) -> Any:
    return b("where", b("le", a, threshold), b.constant(0.0, b.result), gradient)


@lowers("hardtanh_backward")
def _hardtanh_backward(b: GraphBuilder, gradient: Any, a: Any, low: float, high: float) -> Any:
    return b("where", b("or", b("le", a, low), b("ge", a, high)), b.constant(0.0, b.result), gradient)


@lowers("leaky_relu")
def _leaky_relu(b: GraphBuilder, a: Any, slope: float = 0.01) -> Any:
    return b("where", b("gt", a, 0.0), a, b("mul", a, slope))


@lowers("leaky_relu_backward")
def _leaky_relu_backward(b: GraphBuilder, gradient: Any, a: Any, slope: float, _is_result: bool) -> Any:
    return b("where", b("gt", a, 0.0), gradient, b("mul", gradient, slope))


@lowers("elu")
def _elu(b: GraphBuilder, a: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
    negative = b("mul", b("mul", b("expm1", b("mul", a, input_scale)), alpha), scale)
    return b("where", b("lt", a, 0.0), negative, b("mul", a, scale))


@lowers("elu_backward")
def _elu_backward(
    b: GraphBuilder, gradient: Any, alpha: float, scale: float, input_scale: float, is_result: bool, a: Any
) -> Any:
    slope = input_scale * scale
    if is_result:
        curved = b("mul", b("mul", gradient, input_scale), b("add", a, alpha * scale))
    else:
        curved = b("mul", b("mul", gradient, slope * alpha), b("exp", b("mul", a, input_scale)))
    return b("where", b("le", a, 0.0), curved, b("mul", gradient, scale))


@lowers("hardsigmoid")
def _hardsigmoid(b: GraphBuilder, a: Any) -> Any:
    return b("div", _clamp(b, b("add", a, 3.0), 0, 6), 6.0)


@lowers("hardsigmoid_backward")
def _hardsigmoid_backward(b: GraphBuilder, gradient: Any, a: Any) -> Any:
    inside = b("and", b("gt", a, -3.0), b("lt", a, 3.0))
    sixth = float(torch.tensor(1 / 6, dtype=torch.float32))  # in every precision, as in eager torch
    return b("where", inside, b("mul", gradient, sixth), b.constant(0.0, b.result))


@lowers("hardswish")
def _hardswish(b: GraphBuilder, a: Any) -> Any:
    return b("div", b("mul", a, _clamp(b, b("add", a, 3.0), 0, 6)), 6.0)


@lowers("hardswish_backward")
def _hardswish_backward(b: GraphBuilder, gradient: Any, a: Any) -> Any:
    curved = b("mul", gradient, b("add", b("div", a, 3.0), 0.5))
    inner = b("where", b("lt", a, 3.0), curved, gradient)
    return b("where", b("le", a, -3.0), b.constant(0.0, b.result), inner)


@lowers("hardshrink")
def _hardshrink(b: GraphBuilder, a: Any, limit: float = 0.5) -> Any:
    return _shrunk(b, a, a, limit)


@lowers("hardshrink_backward", "softshrink_backward")
def _shrink_backward(b: GraphBuilder, gradient: Any, a: Any, limit: float) -> Any:
    return _shrunk(b, a, gradient, limit)


def _shrunk(b: GraphBuilder, a: Any, outside: Any, limit: float) -> Any:
    inside = b("and", b("ge", a, -limit), b("le", a, limit))
    return b("where", inside, b.constant(0.0, b.result), outside)


@lowers("softshrink")
def _softshrink(b: GraphBuilder, a: Any, limit: float = 0.5) -> Any:
    below = b("where", b("lt", a, -limit), b("add", a, limit), b("mul", a, 0.0))
    return b("where", b("gt", a, limit), b("sub", a, limit), below)


@lowers("silu")
def _silu(b: GraphBuilder, a: Any) -> Any:
    return b("div", a, b("add", b("exp", b("neg", a)), 1.0))


@lowers("silu_backward")
def _silu_backward(b: GraphBuilder, gradient: Any, a: Any) -> Any:
    s = b("sigmoid", a)
    return b("mul", b("mul", gradient, s), b("add", b("mul", a, b("sub", 1.0, s)), 1.0))


@lowers("gelu")
def _gelu(b: GraphBuilder, a: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        return b("mul", b("mul", a, 0.5), b("add", b("tanh", _gelu_inner(b, a)), 1.0))
    return b("mul", b("mul", a, 0.5), b("add", b("erf", b("mul", a, math.sqrt(0.5))), 1.0))


@lowers("gelu_backward")
def _gelu_backward(b: GraphBuilder, gradient: Any, a: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        t = b("tanh", _gelu_inner(b, a))
        slope = b("mul", b("add", b("mul", b("mul", a, a), 3 * 0.044715), 1.0), math.sqrt(2 / math.pi))
        right = b("mul", b("mul", b("mul", a, 0.5), b("sub", 1.0, b("mul", t, t))), slope)
        return b("mul", gradient, b("add", b("mul", b("add", t, 1.0), 0.5), right))
    cumulative = b("mul", b("add", b("erf", b("mul", a, math.sqrt(0.5))), 1.0), 0.5)
    density = b("mul", b("exp", b("mul", b("mul", a, a), -0.5)), 1 / math.sqrt(2 * math.pi))
    return b("mul", gradient, b("add", cumulative, b("mul", a, density)))


def _gelu_inner(b: GraphBuilder, a: Any) -> Any:
    cube = b("mul", b("mul", a, a), a)
    return b("mul", b("add", a, b("mul", cube, 0.044715)), math.sqrt(2 / math.pi))


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
    _floats_only(b)
    return b("add", a, b("div", b("mul", c, value), d))


@lowers("deg2rad")
def _deg2rad(b: GraphBuilder, a: Any) -> Any:
    return b("mul", b.cast(a, b.result), math.pi / 180)


@lowers("rad2deg")
def _rad2deg(b: GraphBuilder, a: Any) -> Any:
    return b("mul", b.cast(a, b.result), 180 / math.pi)


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
