"""Steps that the tests walk over, each with the tensors it needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bionets.scan import dense_scan, scan, split_gates, surrogate

TIME, BATCH, WIDTH = 9, 3, 5


class Membrane(NamedTuple):
    voltage: Tensor
    current: Tensor


def brc(x: Any, h: Tensor, params: Any) -> Any:
    xa, xc, xh = x
    wa, wc = params
    a, c = 1 + torch.tanh(xa + wa * h), torch.sigmoid(xc + wc * h)
    h = c * h + (1 - c) * torch.tanh(xh + a * h)
    return h, h


def lif(x: Any, membrane: Tensor, params: Any) -> Any:
    x, noise = x
    decay, threshold = params
    membrane = decay * membrane + x
    spike = surrogate.straight_bernoulli(torch.sigmoid(4 * (membrane - threshold)), noise)
    return spike, membrane - spike * threshold


def named(x: Tensor, state: Membrane, params: Any) -> Any:
    current = 0.5 * state.current + x
    voltage = 0.9 * state.voltage + torch.nn.functional.softplus(current) * params[0]
    spike = surrogate.super_spike(voltage - params[1])
    return (spike, voltage), Membrane(torch.where(spike > 0, 0.0, voltage), current)


def spiking(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def step(x: Tensor, v: Tensor, params: Tensor) -> Any:
        v = params * v + x
        spike = function(v - 0.3)
        return spike, v - spike * 0.3

    return step


def nbrc(x: Any, recurrent: Any, h: Tensor, params: Any) -> Any:
    a, c = 1 + torch.tanh(x[0] + recurrent[0]), torch.sigmoid(x[1] + recurrent[1])
    h = c * h + (1 - c) * torch.tanh(x[2] + a * h)
    return h, h


def recurrent_spiking(x: Tensor, recurrent: Tensor, state: Any, params: Tensor) -> Any:
    _, v = state
    v = params * v + x + recurrent
    spike = surrogate.arctan(v - 0.5)
    return spike, (spike, v - 0.5 * spike)


def peephole_gates(x: Any, recurrent: Any, state: Any, params: Any) -> Any:
    _, c, peep_f, peep_i = state
    f, i = torch.sigmoid(x[0] + recurrent[0] + peep_f), torch.sigmoid(x[1] + recurrent[1] + peep_i)
    return None, (f * c + i * torch.tanh(x[2] + recurrent[2]), x[3] + recurrent[3])


def peephole_output(x: Any, recurrent: Any, state: Any, params: Any) -> Any:
    c, o = state
    h = torch.sigmoid(o + recurrent[2]) * torch.tanh(c)
    return h, (h, c, recurrent[0], recurrent[1])


@dataclass
class Cell:
    """A step, the shapes of its leaves, and how to call it with them."""

    leaves: dict[str, tuple[int, ...]]
    call: Callable[..., Any]


T, B, N = TIME, BATCH, WIDTH
SURROGATES = {
    name: getattr(surrogate, name)
    for name in (
        "sigmoid",
        "fast_sigmoid",
        "arctan",
        "triangle",
        "rectangle",
        "gaussian",
        "multi_gaussian",
        "super_spike",
        "leaky",
        "straight_round",
    )
}


def _noise(like: Tensor) -> Tensor:
    return torch.rand(like.shape, generator=torch.Generator().manual_seed(5), dtype=like.dtype)


CELLS = {
    "brc": Cell(
        {"x": (T, B, 3 * N), "h": (B, N), "wa": (N,), "wc": ()},
        lambda x, h, wa, wc, **k: scan(brc, split_gates(x, 3), h, (wa, wc), **k),
    ),
    "lif": Cell(
        {"x": (T, B, 2, N), "v": (B, 2, N), "decay": (N,), "threshold": ()},
        lambda x, v, decay, threshold, **k: scan(lif, (x, _noise(x)), v, (decay, threshold), **k),
    ),
    "named": Cell(
        {"x": (T, B), "v": (B,), "i": (B,), "gain": (), "threshold": ()},
        lambda x, v, i, gain, threshold, **k: scan(named, x, Membrane(v, i), (gain, threshold), **k),
    ),
    "nbrc": Cell(
        {"x": (T, B, 3 * N), "h": (B, N), "weight": (2 * N, N)},
        lambda x, h, weight, **k: dense_scan(nbrc, split_gates(x, 3), h, (), weight, **k),
    ),
    "recurrent_spiking": Cell(
        {"x": (T, B, N), "s": (B, N), "v": (B, N), "decay": (N,), "weight": (N, N)},
        lambda x, s, v, decay, weight, **k: dense_scan(recurrent_spiking, x, (s, v), decay, weight, **k),
    ),
    "peephole_lstm": Cell(
        {"x": (T, B, 4 * N), "h": (B, N), "c": (B, N), "f": (B, N), "i": (B, N), "w": (4 * N, N), "p": (3 * N, N)},
        lambda x, h, c, f, i, w, p, **k: dense_scan(
            (peephole_gates, peephole_output), split_gates(x, 4), (h, c, f, i), (), (w, p), **k
        ),
    ),
    **{
        name: Cell(
            {"x": (T, B, N), "v": (B, N), "decay": ()},
            lambda x, v, decay, function=function, **k: scan(spiking(function), x, v, decay, **k),
        )
        for name, function in SURROGATES.items()
    },
}

RAGGED = torch.tensor([T, 4, 0])
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "reverse": {"reverse": True},
    "lengths": {"lengths": RAGGED},
    "lengths, reverse": {"lengths": RAGGED, "reverse": True},
    "checkpoints": {"checkpoint_every": 4},
    "reset": {"reset": torch.rand(T, B, generator=torch.Generator().manual_seed(3)) < 0.3},
    "checkpoints, lengths, reverse": {"checkpoint_every": 2, "lengths": RAGGED, "reverse": True},
}


def leaves_of(name: str, dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = CELLS[name].leaves.values()
    return [torch.randn(shape, generator=generator).mul(0.5).to(dtype).requires_grad_() for shape in shapes]


def run_cell(name: str, backend: str, dtype: torch.dtype = torch.float32, **options: Any) -> dict[str, Tensor]:
    """y, the final state and the gradient of every leaf under random cotangents, by name."""
    leaves = leaves_of(name, dtype)
    y, state = CELLS[name].call(*leaves, backend=backend, **options)
    generator = torch.Generator().manual_seed(1)
    results = [*torch.utils._pytree.tree_leaves(y), *torch.utils._pytree.tree_leaves(state)]
    loss = sum((leaf * torch.randn(leaf.shape, generator=generator).to(leaf.dtype)).sum() for leaf in results)
    gradients = torch.autograd.grad(loss, leaves)
    named_results = {f"result {i}": leaf.detach() for i, leaf in enumerate(results)}
    return named_results | {f"gradient of {k}": g for k, g in zip(CELLS[name].leaves, gradients, strict=True)}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(1.0, float(value.abs().max())) if value.numel() else 1.0
        torch.testing.assert_close(
            found[name], value, rtol=tolerance, atol=tolerance * scale, msg=lambda m, n=name: f"{n}: {m}"
        )
