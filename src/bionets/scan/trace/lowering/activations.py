"""Lowerings of activation functions, and of the backward operations that autograd calls for them."""

from typing import Any

import torch

from bionets.scan.builder import GraphBuilder
from bionets.scan.trace.lowering.arithmetic import clamp
from bionets.scan.trace.lowering.table import LOWERINGS, lowers

SIXTH = float(torch.tensor(1 / 6, dtype=torch.float32))  # in every precision, as in eager torch

LOWERINGS |= {
    "relu": lambda b, a: clamp(b, a, 0),
    "silu": lambda b, a: a / (b("exp", -a) + 1.0),
    "threshold_backward": lambda b, gradient, a, limit: b("where", a <= limit, b.constant(0.0, b.result), gradient),
    "sigmoid_backward": lambda b, gradient, y: gradient * (1.0 - y) * y,
    "tanh_backward": lambda b, gradient, y: gradient * (1.0 - y * y),
    "log_sigmoid_backward": lambda b, gradient, a, _: gradient * b("sigmoid", -a),
}


@lowers("softplus")
def _softplus(b: GraphBuilder, a: Any, beta: float = 1, threshold: float = 20) -> Any:
    scaled = a * beta
    return b("where", scaled > threshold, a, b("log1p", b("exp", scaled)) / beta)


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


@lowers("hardshrink_backward", "softshrink_backward")
def _shrink_backward(b: GraphBuilder, gradient: Any, a: Any, limit: float) -> Any:
    return b("where", (a < -limit) | (a > limit), gradient, b.constant(0.0, b.result))


@lowers("smooth_l1_loss_backward")
def _smooth_l1_loss_backward(b: GraphBuilder, gradient: Any, a: Any, target: Any, _reduction: int, beta: float) -> Any:
    distance = a - target  # torch's decomposition has the gradient 0 at NaN
    inner = b("where", distance >= beta, gradient, distance * gradient / beta)
    return b("where", distance <= -beta, -gradient, inner)


@lowers("softshrink")
def _softshrink(b: GraphBuilder, a: Any, limit: float = 0.5) -> Any:
    below = b("where", a < -limit, a + limit, a * 0.0)
    return b("where", a > limit, a - limit, below)
