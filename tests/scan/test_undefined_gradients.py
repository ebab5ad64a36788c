"""Gradients are None where they are None in the reference, and results require a gradient where they do there."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from bionets.scan import dense_scan, scan

UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "sqrt": lambda a: (a * a + 0.1).sqrt(),
    "half": lambda a: 0.5 * a,
    "floor": torch.floor,  # has the derivative 0
    "spike": lambda a: (a > 0).to(a.dtype),  # has none
    "same": lambda a: a,
}
BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mul": torch.mul,
    "sub": torch.sub,
    "first": lambda a, b: a,
    "where": lambda a, b: torch.where(a > 0, a, b),
}
INPUTS = 6  # of a step: two tensors of x, two states, two parameters

expressions = st.tuples(
    st.sampled_from(sorted(BINARY)),
    *(st.tuples(st.sampled_from(sorted(UNARY)), st.integers(0, INPUTS - 1)) for _ in range(2)),
)


@settings(max_examples=150)
@given(
    results=st.lists(expressions, min_size=4, max_size=4),
    used=st.lists(st.booleans(), min_size=4, max_size=4).filter(any),
    trained=st.lists(st.booleans(), min_size=INPUTS, max_size=INPUTS).filter(any),
    time=st.integers(0, 4),
    masked=st.booleans(),
    every=st.sampled_from([1, 2]),
)
@example(  # a state that is handed to and fro between two tensors
    results=[("first", ("same", i), ("same", 0)) for i in (0, 1, 3, 2)],
    used=[False, False, True, False],
    trained=[True] * INPUTS,
    time=3,
    masked=False,
    every=1,
)
def test_gradients_are_undefined_where_the_reference_has_none(
    results: list[Any],
    used: list[bool],
    trained: list[bool],
    time: int,
    masked: bool,
    every: int,
) -> None:
    def step(x: Any, state: Any, params: Any) -> Any:
        inputs = [*x, *state, *params]
        found = [BINARY[op](UNARY[f](inputs[i]), UNARY[g](inputs[j])) for op, (f, i), (g, j) in results]
        return tuple(found[:2]), tuple(found[2:])

    def run(backend: str) -> tuple[list[bool], list[Tensor | None]]:
        generator = torch.Generator().manual_seed(0)
        shapes = [(time, 2, 3)] * 2 + [(2, 3)] * 2 + [(3,)] * 2
        leaves = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
        for leaf, needed in zip(leaves, trained, strict=True):
            leaf.requires_grad_(needed)
        lengths = torch.tensor([time, time // 2]) if masked else None
        y, final = scan(
            step,
            tuple(leaves[:2]),
            tuple(leaves[2:4]),
            tuple(leaves[4:]),
            lengths=lengths,
            checkpoint_every=every,
            backend=backend,
        )
        found = [*y, *final]
        require = [leaf.requires_grad for leaf in found]
        loss = [leaf.sum() for leaf, wanted in zip(found, used, strict=True) if wanted and leaf.requires_grad]
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        gradients = torch.autograd.grad(sum(loss), wanted, allow_unused=True) if loss else ()  # type: ignore[arg-type]
        return require, list(gradients)

    expected, actual = run("reference"), run("cpu")
    if time:  # without time steps the reference hands its arguments through
        assert actual[0] == expected[0]
    for one, other in zip(actual[1], expected[1], strict=True):
        assert (one is None) == (other is None)
        if other is not None:
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("used", ["y", "final", "second"])
def test_a_weight_whose_products_do_not_reach_the_loss_has_no_gradient(used: str) -> None:
    """A weight of which no product reaches the loss has no gradient."""

    def first(x: Tensor, recurrent: Tensor, state: Any, params: Tensor) -> Any:
        h, memory = state
        return None, (h * params + x, memory + recurrent)

    def second(x: Tensor, recurrent: Tensor, state: Any, params: Tensor) -> Any:
        h, memory = state
        return (h, memory), (torch.tanh(h + x), memory + recurrent)

    def run(backend: str) -> list[Tensor | None]:
        generator = torch.Generator().manual_seed(0)
        x, h, memory, one, other, params = leaves = [
            torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
            for shape in [(4, 2, 3), (2, 3), (2, 3), (3, 3), (3, 3), (3,)]
        ]
        y, final = dense_scan((first, second), x, (h, memory), params, (one, other), backend=backend)
        loss = {"y": y[0], "final": final[0], "second": y[1]}[used].sum()
        return list(torch.autograd.grad(loss, leaves, allow_unused=True))

    expected = run("reference")
    assert any(gradient is None for gradient in expected) == (used != "second")
    for one, other in zip(run("cpu"), expected, strict=True):
        assert (one is None) == (other is None)
        if other is not None:
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("used", [0, 1])
def test_an_infinite_derivative_of_an_unused_result_gives_no_nan(used: int) -> None:
    """0 · ∞ is NaN; a gradient that is None takes part in no product. Neither the second y reaches the loss, nor the
    second state, which no other result depends on."""

    def step(x: Tensor, state: Any, _: Any) -> Any:
        v, root = state
        return (v, x.sqrt()), (0.5 * v + x, root + x.sqrt())

    def gradient(backend: str) -> Tensor:
        x = torch.ones(3, 1, 2).index_fill(2, torch.tensor([0]), 0.0).requires_grad_()
        y, _ = scan(step, x, (torch.zeros(1, 2), torch.zeros(1, 2)), backend=backend)
        return torch.autograd.grad(y[used].sum(), x)[0]

    torch.testing.assert_close(gradient("cpu"), gradient("reference"))


@pytest.mark.parametrize("time", [65, 66, 101])
def test_exchanged_states_have_the_gradients_of_the_reference(time: int) -> None:
    """Which initial state the final one comes from depends on whether T is even."""

    def run(backend: str) -> tuple[list[Tensor | None], list[bool]]:
        a, b = torch.zeros(1, 2, requires_grad=True), torch.zeros(1, 2, requires_grad=True)
        x = torch.zeros(time, 1, 2)
        _, final = scan(lambda x, state, _: (x, (state[1], state[0])), x, (a, b), backend=backend)
        _, of_one = scan(lambda x, state, _: (x, (state[1], state[0])), x, (a.detach(), b), backend=backend)
        gradients = torch.autograd.grad(final[0].sum(), (a, b), allow_unused=True)
        return list(gradients), [leaf.requires_grad for leaf in of_one]

    expected, actual = run("reference"), run("cpu")
    assert actual[1] == expected[1]
    assert [None if each is None else each.tolist() for each in actual[0]] == [
        None if each is None else each.tolist() for each in expected[0]
    ]


def test_the_input_of_a_long_shift_register_has_a_gradient_only_if_it_reaches_the_end() -> None:
    """Of 70 states only the last is read: x is reached after 70 steps, and not before."""

    def run(backend: str, time: int) -> bool:
        x = torch.zeros(time, 1, 2, requires_grad=True)
        zeros = tuple(torch.zeros(1, 2, requires_grad=True) for _ in range(70))
        _, final = scan(lambda x, state, _: (x, (x, *state[:-1])), x, zeros, backend=backend)
        return torch.autograd.grad(final[-1].sum(), x, allow_unused=True)[0] is not None

    for time in (69, 70, 80):
        assert run("cpu", time) == run("reference", time)


@pytest.mark.parametrize(("lags", "time"), [(2, 2), (3, 2), (3, 3), (3, 5)])
def test_delayed_states_have_the_gradients_of_the_reference(lags: int, time: int) -> None:
    """A delayed state reaches steps beyond the next one."""

    def gradients(backend: str) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        x, h, r, weight, lag = leaves = [
            torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
            for shape in [(time, 2, 3), (2, 3), (2, 3), (3, 3), (lags, 3)]
        ]
        _, final = dense_scan(lambda x, r, s, _: (x, (x, r)), x, (h, r), (), weight, lags=lag, backend=backend)
        found = torch.autograd.grad(final[1].sum(), leaves, allow_unused=True)
        return [torch.zeros_like(leaf) if one is None else one for one, leaf in zip(found, leaves, strict=True)]

    torch.testing.assert_close(gradients("cpu"), gradients("reference"))


@pytest.mark.slow
def test_a_scan_in_torch_compile_has_the_same_gradients_at_every_length() -> None:
    """torch.compile treats T as a symbol when it changes."""
    torch.compiler.reset()

    def loss(x: Tensor, v: Tensor) -> Tensor:
        y, _ = scan(lambda x, v, _: ((v * v, v), 0.5 * v + x), x, v, backend="cpu")
        return y[0].sum()

    compiled = torch.compile(loss, backend="aot_eager")
    for time in (5, 7, 70, 9):
        x, v = torch.ones(time, 1, 2, requires_grad=True), torch.zeros(1, 2)
        expected = torch.autograd.grad(loss(x, v), x)
        torch.testing.assert_close(torch.autograd.grad(compiled(x, v), x), expected)


def test_an_optimizer_does_not_change_an_unused_parameter() -> None:
    used, unused = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)

    def step(x: Tensor, v: Tensor, params: Any) -> Any:
        return (v, v * params[1]), params[0] * v + x

    optimizer = torch.optim.AdamW([used, unused], weight_decay=0.5)
    y, _ = scan(step, torch.ones(3, 1, 2), torch.zeros(1, 2), (used, unused), backend="cpu")
    y[0].sum().backward()
    optimizer.step()
    assert torch.equal(unused, torch.ones(2)) and not torch.equal(used, torch.ones(2))


def test_a_spike_without_a_surrogate_has_no_gradient() -> None:
    """This common mistake gives an error of PyTorch instead of a training without gradients."""
    x = torch.randn(3, 1, 2, requires_grad=True)
    spikes, _ = scan(lambda x, v, _: ((0.9 * v + x > 1).float(), 0.9 * v + x), x, torch.zeros(1, 2), backend="cpu")
    with pytest.raises(RuntimeError, match="does not require grad"):
        spikes.sum().backward()
