"""Lowerings of activation functions, and of the backward operations that autograd calls for them."""

import math
from typing import Any

import torch

from bionets.scan.builder import GraphBuilder
from bionets.scan.trace.lowering.arithmetic import clamp
from bionets.scan.trace.lowering.table import LOWERINGS, lowers

SIXTH = float(torch.tensor(1 / 6, dtype=torch.float32))  # in every precision, as in eager torch

LOWERINGS |= {
    "relu": lambda b, a: clamp(b, a, 0),
    "hardtanh": lambda b, a, low=-1.0, high=1.0: clamp(b, a, low, high),
    "hardsigmoid": lambda b, a: clamp(b, a + 3.0, 0, 6) / 6.0,
    "hardswish": lambda b, a: a * clamp(b, a + 3.0, 0, 6) / 6.0,
    "silu": lambda b, a: a / (b("exp", -a) + 1.0),
    "leaky_relu": lambda b, a, slope=0.01: b("where", a > 0.0, a, a * slope),
    "leaky_relu_backward": lambda b, gradient, a, slope, _: b("where", a > 0.0, gradient, gradient * slope),
    "threshold": lambda b, a, limit, value: b("where", a <= limit, b.constant(value, b.result), a),
    "threshold_backward": lambda b, gradient, a, limit: b("where", a <= limit, b.constant(0.0, b.result), gradient),
    "sigmoid_backward": lambda b, gradient, y: gradient * (1.0 - y) * y,
    "tanh_backward": lambda b, gradient, y: gradient * (1.0 - y * y),
    "log_sigmoid_backward": lambda b, gradient, a, _: gradient * b("sigmoid", -a),
}


@lowers("softplus")
def _softplus(b: GraphBuilder, a: Any, beta: float = 1, threshold: float = 20) -> Any:
    scaled = a * beta
    return b("where", scaled > threshold, a, b("log1p", b("exp", scaled)) / beta)


@lowers("softplus_backward")
def _softplus_backward(b: GraphBuilder, gradient: Any, a: Any, beta: float, threshold: float) -> Any:
    scaled = a * beta
    z = b("exp", scaled)
    curved = gradient * z / (z + 1.0)
    return b("where", scaled > threshold, gradient, curved)


@lowers("log_sigmoid_forward")
def _log_sigmoid(b: GraphBuilder, a: Any) -> Any:
    z = b("exp", -abs(a))
    return b("minimum", a, 0.0) - b("log1p", z), z


@lowers("hardtanh_backward")
def _hardtanh_backward(b: GraphBuilder, gradient: Any, a: Any, low: float, high: float) -> Any:
    return b("where", (a > low) & (a < high), gradient, b.constant(0.0, b.result))


@lowers("elu")
def _elu(b: GraphBuilder, a: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Any:
    negative = b("expm1", a * input_scale) * alpha * scale
    return b("where", a < 0.0, negative, a * scale)


@lowers("elu_backward")
def _elu_backward(
    b: GraphBuilder, gradient: Any, alpha: float, scale: float, input_scale: float, is_result: bool, a: Any
) -> Any:
    slope = input_scale * scale
    if is_result:
        curved = gradient * input_scale * (a + alpha * scale)
    else:
        curved = gradient * (slope * alpha) * b("exp", a * input_scale)
    return b("where", a > 0.0, gradient * scale, curved)


@lowers("hardsigmoid_backward")
def _hardsigmoid_backward(b: GraphBuilder, gradient: Any, a: Any) -> Any:
    inside = (a > -3.0) & (a < 3.0)
    return b("where", inside, gradient * SIXTH, b.constant(0.0, b.result))


@lowers("hardswish_backward")
def _hardswish_backward(b: GraphBuilder, gradient: Any, a: Any) -> Any:
    curved = gradient * (a / 3.0 + 0.5)
    inner = b("where", a >= 3.0, gradient, curved)
    return b("where", a <= -3.0, b.constant(0.0, b.result), inner)


@lowers("hardshrink")
def _hardshrink(b: GraphBuilder, a: Any, limit: float = 0.5) -> Any:
    return b("where", (a >= -limit) & (a <= limit), b.constant(0.0, b.result), a)


@lowers("hardshrink_backward", "softshrink_backward")
def _shrink_backward(b: GraphBuilder, gradient: Any, a: Any, limit: float) -> Any:
    return b("where", (a < -limit) | (a > limit), gradient, b.constant(0.0, b.result))


@lowers("softshrink")
def _softshrink(b: GraphBuilder, a: Any, limit: float = 0.5) -> Any:
    below = b("where", a < -limit, a + limit, a * 0.0)
    return b("where", a > limit, a - limit, below)


@lowers("silu_backward")
def _silu_backward(b: GraphBuilder, gradient: Any, a: Any) -> Any:
    s = b("sigmoid", a)
    return gradient * s * (a * (1.0 - s) + 1.0)


@lowers("gelu")
def _gelu(b: GraphBuilder, a: Any, approximate: str = "none") -> Any:
    half = a * 0.5
    if approximate == "tanh":
        return half * (b("tanh", _gelu_inner(b, a)) + 1.0)
    return half * (b("erf", a * math.sqrt(0.5)) + 1.0)


@lowers("gelu_backward")
def _gelu_backward(b: GraphBuilder, gradient: Any, a: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        t = b("tanh", _gelu_inner(b, a))
        slope = (a * a * (3 * 0.044715) + 1.0) * math.sqrt(2 / math.pi)
        right = a * 0.5 * (1.0 - t * t) * slope
        return gradient * ((t + 1.0) * 0.5 + right)
    cumulative = (b("erf", a * math.sqrt(0.5)) + 1.0) * 0.5
    density = b("exp", a * a * -0.5) * (1 / math.sqrt(2 * math.pi))
    return gradient * (cumulative + a * density)


def _gelu_inner(b: GraphBuilder, a: Any) -> Any:
    cube = a * a * a
    return (a + cube * 0.044715) * math.sqrt(2 / math.pi)
