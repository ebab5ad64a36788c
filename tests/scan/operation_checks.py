"""Checks of every operation on its own against eager torch, forward and gradient, for any backend."""

import itertools
import platform
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from bionets.scan import scan

from .operation_samples import DOMAINS, SMOOTH, SPECIAL, STEPWISE, Sample

ON_ARM = platform.machine() in ("aarch64", "arm64")
SINGLE = ("exp of int", "sinc of int", "int division")  # torch computes them in float32, also in a float64 program

TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-13}


def _groups(samples: dict[str, Sample], size: int = 12) -> Iterator[list[str]]:
    names = sorted(samples)
    for start in range(0, len(names), size):
        yield names[start : start + size]


GROUPS = [*_groups(SMOOTH), *_groups(STEPWISE)]
SAMPLES = SMOOTH | STEPWISE


def name_group(names: list[str]) -> str:
    """The name of a test case."""
    return f"{names[0]} to {names[-1]}"


def step_of(names: list[str]) -> Callable[..., Any]:
    """One step of several operations, each on inputs of its own, so that a kernel is compiled for all of them."""

    def step(x: tuple[Tensor, ...], state: Tensor, params: Any) -> Any:
        own, results = iter(x), []
        for name in names:
            results.append(SAMPLES[name].function(*itertools.islice(own, SAMPLES[name].inputs)))
        return tuple(results), state

    return step


def inputs_of(names: list[str], dtype: torch.dtype, special: bool = False) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    leaves = []
    for name in names:
        _, count, domain = SAMPLES[name]
        for number in range(count):
            if special:
                values = torch.tensor(SPECIAL, dtype=dtype)
                rows = (values, values.unsqueeze(1))[:count]
                leaf = rows[number].expand(len(values), len(values))
            else:
                leaf = DOMAINS[domain](torch.randn(7, 5, generator=generator, dtype=torch.float64)).to(dtype)
            leaves.append(leaf.unsqueeze(0).clone().requires_grad_())
    return leaves


def run(names: list[str], leaves: list[Tensor], backend: str) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    y, _ = scan(step_of(names), tuple(leaves), torch.zeros_like(leaves[0][0]), backend=backend)
    loss = sum(each.square().sum() for each in y)
    if not loss.requires_grad:
        return y, tuple(map(torch.zeros_like, leaves))
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return y, gradients


def check_agreement_with_eager_torch(names: list[str], dtype: torch.dtype, backend: str) -> None:
    """Results and gradients."""
    leaves = inputs_of(names, dtype)
    (found, gradients), (expected, true_gradients) = (run(names, leaves, each) for each in (backend, "reference"))
    for name, ours, theirs in zip(names, found, expected, strict=True):
        allowed = TOLERANCE[torch.float32 if name in SINGLE else dtype]
        torch.testing.assert_close(ours, theirs, rtol=allowed, atol=allowed, msg=lambda m, name=name: f"{name}: {m}")
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    owners = [name for name in names for _ in range(SAMPLES[name].inputs)]
    for name, ours, theirs in zip(owners, gradients, true_gradients, strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(
            ours / scale, theirs / scale, **tolerance, msg=lambda m, name=name: f"gradient of {name}: {m}"
        )


def check_zeros_infinities_and_nan(names: list[str], dtype: torch.dtype, backend: str) -> None:
    """Results alone."""
    chosen = [name for name in names if not _is_undefined(name, dtype, backend)]
    if not chosen:
        pytest.skip("undefined at special values")
    with torch.no_grad():
        leaves = inputs_of(chosen, dtype, special=True)
        found, expected = (
            scan(step_of(chosen), tuple(leaves), torch.zeros_like(leaves[0][0]), backend=each)[0]
            for each in (backend, "reference")
        )
    tolerance = {"rtol": 2 * TOLERANCE[dtype], "atol": torch.finfo(dtype).tiny, "equal_nan": True}
    for name, ours, theirs in zip(chosen, found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance, msg=lambda m, name=name: f"{name}: {m}")


def _is_undefined(name: str, dtype: torch.dtype, backend: str) -> bool:
    """Whether the result at some special value depends on the processor, or in eager torch on the place in a tensor."""
    of_integers = "int" in name or name in ("to long", "type")
    if backend == "triton":
        return name == "gelu" or (of_integers and name != "type")
    if ON_ARM and (name == "erf" or (of_integers and dtype == torch.float64)):  # torch rounds erf of 1e-30 to 0
        return True
    return name == "gelu"  # at infinity
