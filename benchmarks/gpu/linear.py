"""Linear recurrences over long sequences of few elements, with parallel and with sequential time steps."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils import _pytree as pytree  # private, but torch's own tree of tensors has no public name yet

from benchmarks.gpu.case import BACKEND, DEVICE, Case, Row, peak_memory, time_run
from benchmarks.gpu.correctness import TOLERANCES, Cell, agreement, leaves_of, results_of
from bionets.layers.recurrent.lru import lru_step
from bionets.layers.recurrent.minimal_gated import min_gru_step, min_lstm_step
from bionets.scan import scan
from bionets.scan.gpu import parallel

ROUNDS = 11


def leak(x: Tensor, state: Tensor, decay: Tensor) -> tuple[Tensor, Tensor]:
    """LI: v = decay·v + x"""
    state = decay * state + x
    return state, state


def filtered_leak(x: Tensor, state: tuple[Tensor, Tensor], decays: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
    """SLI: the input is filtered before it is integrated."""
    current = decays[0] * state[0] + (1 - decays[0]) * x
    voltage = decays[1] * state[1] + current
    return voltage, (current, voltage)


STEPS: dict[str, tuple[Callable[..., Any], int, int, int]] = {  # and the numbers of tensors of x, state and params
    "LI": (leak, 1, 1, 1),
    "minGRU": (min_gru_step, 2, 1, 0),
    "LRU": (lru_step, 2, 2, 2),
    "SLI": (filtered_leak, 1, 2, 2),
    "minLSTM": (min_lstm_step, 3, 1, 0),
}


def cell(name: str, time: int, batch: int, width: int) -> Cell:
    step, inputs, states, count = STEPS[name]
    x, state = [f"x{i}" for i in range(inputs)], [f"state{i}" for i in range(states)]
    params = [f"decay{i}" for i in range(count)]

    def call(*leaves: Tensor, **options: Any) -> tuple[Any, Any]:
        groups = (leaves[:inputs], leaves[inputs : inputs + states], leaves[inputs + states :])
        return scan(step, *(group[0] if len(group) == 1 else group for group in groups), **options)

    shapes = {**dict.fromkeys(x, (time, batch, width)), **dict.fromkeys(state, (batch, width))}
    return Cell({**shapes, **dict.fromkeys(params, (width,))}, call, positive=tuple(params))


def agreement_cases(tiny: bool) -> Iterator[Case]:
    """Compare results and gradients of many time steps in parallel with the reference."""
    time, names = (12, ("LI",)) if tiny else (700, tuple(STEPS))
    lengths = torch.tensor([time, 0, 3, time // 2, time - 1], device=DEVICE)
    choices: list[dict[str, Any]] = [{}, {"reverse": True, "lengths": lengths}, {"checkpoint_every": 7}]
    for name in names:
        for options in choices[:1] if tiny else choices:
            words = " ".join(options)
            yield Case(f"{name} T {time} {words}", lambda n=name, o=options: _compare(n, time, o))  # type: ignore[misc]


def _compare(name: str, time: int, options: dict[str, Any]) -> Row:
    chosen = cell(name, time, 5, 13)
    leaves = leaves_of(chosen, torch.float32)
    with patch.multiple(parallel, LONG=1, CHUNK=_chunk(time)):
        found = results_of(chosen.call, leaves, BACKEND, options)
    tolerance = 10 * TOLERANCES[torch.float32]  # the states of LRU accumulate the rounding errors of 700 steps
    return agreement(found, results_of(chosen.call, leaves, "reference", options), tolerance)


def _chunk(time: int) -> int:
    """The number of time steps that are computed in parallel; few in a tiny run."""
    return parallel.CHUNK if time > parallel.CHUNK else 4


def cases(tiny: bool) -> Iterator[Case]:
    """Forward and backward pass of each step, parallel and sequential, for sizes from few elements to enough for a
    whole GPU.
    """
    sizes = (
        ((16, 1, 8),)
        if tiny
        else ((10_000, 1, 64), (10_000, 16, 64), (1_000, 16, 64), (100_000, 1, 16), (1_000, 64, 512))
    )
    for time, batch, width in sizes:
        for name in ("LI", "LRU") if tiny else STEPS:
            title = f"{name}-T{time}-B{batch}-N{width}"
            for way in ("many steps at once", "step by step"):
                yield Case(
                    f"{title} / bionets, {way}",
                    lambda name=name, size=(time, batch, width), way=way: _time(name, size, way),  # type: ignore[misc]
                )


def _time(name: str, size: tuple[int, int, int], way: str) -> Row:
    chosen, never = cell(name, *size), size[0] + 1
    leaves = leaves_of(chosen, torch.float32)

    def outputs() -> list[Tensor]:
        return pytree.tree_leaves(chosen.call(*leaves, backend=BACKEND)[0])

    def run() -> None:
        torch.autograd.grad(outputs(), leaves, output_gradients, allow_unused=True)

    at_once: dict[str, Any] = {"LONG": 1, "FEW": size[1] * size[2], "CHUNK": _chunk(size[0])}
    with patch.multiple(parallel, **(at_once if way == "many steps at once" else {"LONG": never})):
        output_gradients = [torch.randn_like(y) for y in outputs()]
        return time_run(run, ROUNDS) | {"peak_bytes": peak_memory(run)}
