"""Random step functions over the supported operations: the CPU backend agrees with the reference."""

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from bionets.scan import scan

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "exp": lambda a: torch.exp(-a.abs()),
    "expm1": lambda a: torch.expm1(torch.tanh(a)),
    "log": lambda a: torch.log(1 + a * a),
    "log1p": lambda a: torch.log1p(a.abs()),
    "sqrt": lambda a: torch.sqrt(1 + a * a),
    "rsqrt": lambda a: torch.rsqrt(1 + a * a),
    "reciprocal": lambda a: torch.reciprocal(2 + torch.tanh(a)),
    "relu": torch.relu,
    "softplus": torch.nn.functional.softplus,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "silu": torch.nn.functional.silu,
    "sin": torch.sin,
    "cos": torch.cos,
    "atan": torch.atan,
    "erf": torch.erf,
    "neg": torch.neg,
    "abs": torch.abs,
    "clamp": lambda a: a.clamp(-0.7, 0.9),
    "square": lambda a: torch.tanh(a) ** 2,
    "cube": lambda a: torch.tanh(a) ** 3,
    "power": lambda a: (1 + a.abs()) ** 0.3,
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: 0.5 * (a + b),
    "sub": lambda a, b: 0.5 * (a - b),
    "rsub": lambda a, b: torch.rsub(a, b, alpha=0.5),
    "mul": lambda a, b: torch.tanh(a) * b,
    "div": lambda a, b: a / (1 + b * b),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "where": lambda a, b: torch.where(a > b, a, 0.5 * b),
    "where_and": lambda a, b: torch.where((a > 0) & ~(b > 0.1) | (a < -1), a, b),
    "lerp": lambda a, b: torch.lerp(a, b, 0.3),
    "mask": lambda a, b: a * (b >= 0) + (b < 0).to(a.dtype),
}
operations = st.one_of(
    st.tuples(st.sampled_from(sorted(UNARY)), st.integers(0, 50)),
    st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 50), st.integers(0, 50)),
)


def build(recipe: list[tuple[Any, ...]], states: int) -> Callable[..., Any]:
    def step(x: Tensor, state: tuple[Tensor, ...], params: tuple[Tensor, ...]) -> Any:
        values = [x, *state, *params]
        for name, *inputs in recipe:
            arguments = [values[i % len(values)] for i in inputs]
            values.append(UNARY[name](*arguments) if name in UNARY else BINARY[name](*arguments))
        new = tuple(torch.tanh(value) for value in values[-states:])
        return values[-1], new

    return step


def compare(recipe: list[tuple[Any, ...]], states: int, time: int, reverse: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(time, 2, 3), *[(2, 3)] * states, (3,), ()]
    results = []
    data = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    for backend in ("cpu", "reference"):
        leaves = [leaf.clone().requires_grad_() for leaf in data]
        x, state, params = leaves[0], tuple(leaves[1 : 1 + states]), tuple(leaves[1 + states :])
        y, final = scan(build(recipe, states), x, state, params, reverse=reverse, backend=backend)
        loss = y.square().sum() + sum(leaf.sum() for leaf in final)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        results.append([y.detach(), *(leaf.detach() for leaf in final), *gradients])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


cases = given(
    recipe=st.lists(operations, min_size=1, max_size=8),
    states=st.integers(1, 3),
    time=st.integers(1, 5),
    reverse=st.booleans(),
    seed=st.integers(0, 1000),
)


@settings(max_examples=5, derandomize=True, database=None)
@cases
def test_random_steps_agree_with_the_reference(
    recipe: list[tuple[Any, ...]], states: int, time: int, reverse: bool, seed: int
) -> None:
    compare(recipe, states, time, reverse, seed)


@pytest.mark.slow
@settings(max_examples=300)
@cases
def test_many_random_steps_agree_with_the_reference(
    recipe: list[tuple[Any, ...]], states: int, time: int, reverse: bool, seed: int
) -> None:
    compare(recipe, states, time, reverse, seed)


def test_all_operations_in_one_step_agree_with_the_reference() -> None:
    """Each operation at least once, in a chain that keeps values moderate."""
    recipe: list[tuple[Any, ...]] = []
    for number, name in enumerate(UNARY):
        recipe += [(name, number), ("add", number + 1, number + 4)]
    for number, name in enumerate(BINARY):
        recipe += [(name, 2 * number, 3 * number + 1)]
    compare(recipe, 2, 4, False, 0)
