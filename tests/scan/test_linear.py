"""Which steps are recognised as linear in their state."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from bionets.layers import spiking
from bionets.layers.recurrent.brc import brc_step
from bionets.layers.recurrent.lru import lru_step
from bionets.layers.recurrent.minimal_gated import min_gru_step, min_lstm_step
from bionets.scan.arguments import read_arguments
from bionets.scan.program import find_program
from bionets.scan.program.linear import LinearMap, linear_steps

DIAGONAL, LOWER, FULL = ((0, 0), (1, 1)), ((0, 0), (1, 0), (1, 1)), ((0, 0), (0, 1), (1, 0), (1, 1))


def maps_of(step: Callable[..., Any], x: int, state: int, params: int) -> tuple[LinearMap, LinearMap] | None:
    """For a step with so many tensors; a single one is no tuple."""

    def leaves(count: int, *shape: int) -> Any:
        made = tuple(torch.zeros(shape) for _ in range(count))
        return made[0] if count == 1 else made

    arguments = read_arguments(leaves(x, 2, 3, 4), leaves(state, 3, 4), leaves(params, 4), (), None, False, 1)
    return linear_steps(find_program((step,), arguments).program.key)


@pytest.mark.parametrize(
    ("step", "count", "filled"),
    [
        (min_gru_step, (2, 1, 0), ((0, 0),)),
        (min_lstm_step, (3, 1, 0), ((0, 0),)),
        (lru_step, (2, 2, 2), FULL),
        (lambda x, s, p: (x.exp(), p * s / (1 + x * x)), (1, 1, 1), ((0, 0),)),
        (lambda x, s, p: (s[1] ** 2, (torch.where(x > 0, s[0], -s[0]) + x, s[1] - s[0])), (1, 2, 0), LOWER),
        (lambda x, s, p: (s[0], (x, x.sigmoid() * s[1])), (1, 2, 0), DIAGONAL),
        (lambda x, s, p: (s[0], (s[1], s[0] + x)), (1, 2, 0), FULL),
    ],
)
def test_linear_steps_are_recognised(
    step: Callable[..., Any], count: tuple[int, int, int], filled: tuple[Any, ...]
) -> None:
    found = maps_of(step, *count)
    assert found is not None
    forward, backward = found
    assert forward.filled == filled
    assert set(backward.filled) == {(j, i) for i, j in filled}
    assert not any(name.startswith("state") for name in forward.graph.inputs)
    assert not any(name.startswith("grad_new_state") for name in backward.graph.inputs)


@pytest.mark.parametrize(
    ("step", "count"),
    [
        (brc_step, (3, 1, 4)),
        (lambda x, s, p: (x, s * s + x), (1, 1, 0)),
        (lambda x, s, p: (x, (s[0] * s[1], x)), (1, 2, 0)),
        (lambda x, s, p: (x, x / s), (1, 1, 0)),
        (lambda x, s, p: (x, torch.where(s > 0, s, x)), (1, 1, 0)),
        (lambda x, s, p: (x, (s > 0).to(x.dtype) + x), (1, 1, 0)),
        (lambda x, s, p: (x, s.abs()), (1, 1, 0)),
    ],
)
def test_nonlinear_steps_are_not_recognised_as_linear(step: Callable[..., Any], count: tuple[int, int, int]) -> None:
    assert maps_of(step, *count) is None


@pytest.mark.parametrize(
    ("name", "linear"),
    [("LI", True), ("SLI", True), ("LIEMA", True), ("SLIEMA", True), ("DLI", True), ("DSLI", False), ("LIB", False)],
)
def test_linear_leaky_integrators_are_recognised(name: str, linear: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []
    import bionets.scan.compiled as compiled

    def look(call: Any, backend: str) -> list[Tensor]:
        found.append(linear_steps(call.program.key) is not None)
        return run(call, backend)

    run = compiled.run_scan
    monkeypatch.setattr(compiled, "run_scan", look)
    getattr(spiking, name)(4).over_time(torch.randn(3, 2, 4))
    assert found == [linear]
