"""Lowerings of activation functions, and of the backward operations that autograd calls for them."""

import math
from typing import Any

import torch

from bionets.scan.graph import GraphBuilder
from bionets.scan.trace.lowering.arithmetic import clamp
from bionets.scan.trace.lowering.table import lowers


@lowers("hardtanh")
def _hardtanh(b: GraphBuilder, a: Any, low: float = -1.0, high: float = 1.0) -> Any:
    return clamp(b, a, low, high)


@lowers("relu")
def _relu(b: GraphBuilder, a: Any) -> Any:
    return clamp(b, a, 0)


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
    return b("div", clamp(b, b("add", a, 3.0), 0, 6), 6.0)


@lowers("hardsigmoid_backward")
def _hardsigmoid_backward(b: GraphBuilder, gradient: Any, a: Any) -> Any:
    inside = b("and", b("gt", a, -3.0), b("lt", a, 3.0))
    sixth = float(torch.tensor(1 / 6, dtype=torch.float32))  # in every precision, as in eager torch
    return b("where", inside, b("mul", gradient, sixth), b.constant(0.0, b.result))


@lowers("hardswish")
def _hardswish(b: GraphBuilder, a: Any) -> Any:
    return b("div", b("mul", a, clamp(b, b("add", a, 3.0), 0, 6)), 6.0)


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
