"""Every elementwise operation that a step may use, with inputs at which it is defined and has a derivative."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

DOMAINS: dict[str, Callable[[Tensor], Tensor]] = {
    "any": lambda u: 3 * u,
    "large": lambda u: 400 * u,
    "positive": lambda u: 0.05 + 5 * u.abs(),
    "probability": lambda u: torch.sigmoid(u),
    "unit": lambda u: 0.95 * torch.tanh(u),
    "above 1": lambda u: 1.05 + u.abs(),
}


class Sample(NamedTuple):
    function: Callable[..., Tensor]
    inputs: int = 1
    domain: str = "any"


def _unary(names: str, domain: str = "any", module: Any = torch) -> dict[str, Sample]:
    return {name: Sample(getattr(module, name), 1, domain) for name in names.split()}


def _binary(names: str, domain: str = "any") -> dict[str, Sample]:
    return {name: Sample(getattr(torch, name), 2, domain) for name in names.split()}


SMOOTH: dict[str, Sample] = {
    **_unary("neg abs exp exp2 expm1 sinh cosh tanh asinh sigmoid erf erfc atan sinc square relu positive frac"),
    **{f"{name} of large": Sample(getattr(torch, name), 1, "large") for name in ("sin", "cos", "tan", "tanh", "asinh")},
    **_unary("sin cos"),
    **_unary("log log2 log10 log1p sqrt rsqrt reciprocal", "positive"),
    **_unary("tan asin acos atanh", "unit"),
    **_unary("acosh", "above 1"),
    **_unary("gelu silu softplus elu selu celu leaky_relu hardtanh relu6 mish softsign logsigmoid", module=F),
    **_unary("hardsigmoid hardswish tanhshrink softshrink hardshrink", module=F),
    "gelu, tanh": Sample(lambda a: F.gelu(a, approximate="tanh")),
    "threshold": Sample(lambda a: F.threshold(a, 0.3, 7.0)),
    "deg2rad": Sample(torch.deg2rad),
    "rad2deg": Sample(torch.rad2deg),
    "nan_to_num": Sample(torch.nan_to_num),
    "logit": Sample(torch.logit, 1, "probability"),
    **_binary("add sub mul maximum minimum fmax fmin hypot atan2 copysign"),
    "rsub, alpha": Sample(lambda a, b: torch.rsub(a, b, alpha=0.3), 2),
    "add, alpha": Sample(lambda a, b: torch.add(a, b, alpha=0.3), 2),
    "div": Sample(lambda a, b: a / b, 2, "positive"),
    "fmod": Sample(lambda a, b: torch.fmod(a, 1.5 + b.abs()), 2),
    "remainder": Sample(lambda a, b: torch.remainder(a, 1.5 + b.abs()), 2),
    "remainder of a number": Sample(lambda a: torch.remainder(a, -0.7)),
    "pow": Sample(torch.pow, 2, "positive"),
    "logaddexp": Sample(torch.logaddexp, 2),
    "xlogy": Sample(torch.xlogy, 2, "positive"),
    "float_power": Sample(lambda a: (1 + a.abs()) ** 0.3),
    "powers": Sample(lambda a: a**2 + a**3 - a**-1 + a**-2 + a**0.5 - a**-0.5 + a**0 + a**1 + a**4, 1, "positive"),
    "number to a power": Sample(lambda a: 1.7**a),
    "clamp": Sample(lambda a: a.clamp(-0.7, 0.9)),
    "clamp with tensors": Sample(lambda a, b: a.clamp(min=b).clamp(max=b + 1), 2),
    "clamp_min": Sample(lambda a: torch.clamp_min(a, 0.3) + torch.clamp_max(a, 0.3)),
    "where": Sample(lambda a, b: torch.where(a > b, a, 0.5 * b), 2),
    "lerp": Sample(lambda a, b: torch.lerp(a, b, 0.3) + torch.lerp(a, b, 0.8), 2),
    "lerp, tensor": Sample(lambda a, b: torch.lerp(a, b, b), 2),
    "addcmul": Sample(lambda a, b: torch.addcmul(a, b, b, value=0.3), 2),
    "addcdiv": Sample(lambda a, b: torch.addcdiv(a, b, 1 + b * b, value=0.3), 2),
    "smooth_l1_loss": Sample(lambda a, b: F.smooth_l1_loss(a, b, reduction="none", beta=0.7), 2),
    "masked_fill": Sample(lambda a, b: a.masked_fill(b > 0, 0.25), 2),
}

STEPWISE: dict[str, Sample] = {
    **_unary("sign floor ceil round trunc isnan isfinite isinf logical_not"),
    **{"sgn": Sample(torch.sgn), "signbit": Sample(torch.signbit)},
    **_binary("lt le gt ge eq ne logical_and logical_or logical_xor"),
    "floor_divide": Sample(lambda a, b: a.detach() // (0.3 + b.detach().abs()), 2),
    "div, trunc": Sample(lambda a, b: torch.div(a, 0.3 + b.abs(), rounding_mode="trunc"), 2),
    "div, floor": Sample(lambda a: torch.div(a, -0.3, rounding_mode="floor")),
    "bools": Sample(lambda a, b: ((a > 0) & ~(b > 0)) | ((a < -1) ^ (b < 1)), 2),
    "bool where": Sample(lambda a, b: torch.where(a > 0, b > 0, a > b), 2),
    "bool sum": Sample(lambda a, b: torch.ones_like(a > 0) + (b > 0), 2),
    "bool product": Sample(lambda a, b: (a > 0) * (b > 0), 2),
    "bool minimum": Sample(lambda a, b: torch.minimum(a > 0, b > 0).int() + torch.maximum(a > 0, b > 0), 2),
    "bool comparison": Sample(lambda a, b: ((a > 0) < (b > 0)) | ((a > 1) == (b > 1)), 2),
    "to int": Sample(lambda a: (2.6 * a).to(torch.int32)),
    "to long": Sample(lambda a: (2.6 * a).long() - 1),
    "to uint8": Sample(lambda a: (2.6 * a).to(torch.uint8)),
    "to bool": Sample(lambda a: (a * (a > 0)).bool()),
    "type": Sample(lambda a: (2.6 * a).type(torch.int32)),
    "int arithmetic": Sample(lambda a, b: (3 * a).int() * (2 * b).int() - (a.int() + 7), 2),
    "int8 wraps": Sample(lambda a: (40 * a).to(torch.int8) * 100 * 2),
    "uint8 wraps": Sample(lambda a, b: (a > 0).to(torch.uint8) - (b > 0).to(torch.uint8), 2),
    "uint8 comparison": Sample(lambda a, b: ((a > 0).to(torch.uint8) - 1) > (b > 0).to(torch.uint8), 2),
    "int16": Sample(lambda a: ((1000 * a).short() * 37).abs().sign() + torch.neg((3 * a).short())),
    "int bits": Sample(lambda a, b: (~(9 * a).int() & (9 * b).int()) | ((5 * a).int() ^ 3), 2),
    "int and number": Sample(lambda a: (3 * a).int() * 0.37),
    "int division": Sample(lambda a, b: (9 * a).int() / ((5 * b).int().abs() + 1), 2),
    "int of two kinds": Sample(lambda a, b: (3 * a).to(torch.int8) + (3 * b).long(), 2),
    "int maximum": Sample(lambda a, b: torch.maximum((3 * a).int(), (3 * b).int()).clamp(-4, 5), 2),
    "int round": Sample(lambda a: torch.floor((3 * a).int())),
    "int power": Sample(lambda a: (3 * a).int() ** 2),
    "int filled": Sample(lambda a: torch.full_like(a, 2.7, dtype=torch.int) + torch.zeros_like(a, dtype=torch.long)),
    "compared in place": Sample(
        lambda a, b: F.silu(a.clone().gt_(0.3)) + torch.lerp(b, b.clone().logical_not_(), a), 2
    ),
    "rounded number": Sample(lambda a: torch.full_like(a, 0.1, dtype=torch.float32).double() * 1e9 - 1e8 + 0 * a),
    "int copied": Sample(lambda a: torch.zeros_like(a, dtype=torch.int).copy_(3 * a)),
    "sinc of int": Sample(lambda a: torch.sinc((3 * a).int())),
    "addcdiv of int": Sample(lambda a, b: torch.addcdiv(a, (3 * b).int(), 1 + a * a), 2),
    "nan_to_num of int": Sample(lambda a: torch.nan_to_num((3 * a).int())),
    "exp of int": Sample(lambda a: torch.exp((a > 0).int())),
    "other precision": Sample(lambda a: (a.double() / 3).float().double() + a.float()),
    "number tensors": Sample(lambda a: a * torch.tensor(3) + torch.tensor(True) + torch.tensor(0.1)),
}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-30, 87.0, 91.0, -104.0, 1e4, -2999999923.0, 1e30]
SPECIAL += [float("inf"), float("-inf"), float("nan")]
