"""Steps with a `torch.autograd.Function` of the user: the numbers of the reference, or an error that names it."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bionets.scan import dense_scan, scan, surrogate
from bionets.scan.graph import UnsupportedStepError

Backward = Callable[[Any, Tensor], Tensor | None]
SHAPES = ((5, 3, 4), (3, 4), (4,))  # of x, state and parameter


def function(backward: Backward, forward: Callable[[Any, Tensor], Tensor] = lambda ctx, a: 2 * a) -> Any:
    """The application of a function with these passes."""
    passes = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("OfUser", (torch.autograd.Function,), passes).apply


def run(step: Any, backend: str, used: int | None = None, **options: Any) -> list[Tensor | None]:
    """The results and the gradients; used: the number of the only result that the loss depends on."""
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in SHAPES]
    y, final = scan(step, *leaves, backend=backend, **options)
    found = [*(y if isinstance(y, tuple) else [y]), final]
    parts = [(leaf * torch.randn(leaf.shape, generator=generator)).sum() for leaf in found]
    assert used is None or found[used].requires_grad
    loss = sum(part for i, part in enumerate(parts) if used in (None, i))
    return [*(leaf.detach() for leaf in found), *torch.autograd.grad(loss, leaves, allow_unused=True)]  # type: ignore[arg-type]


def agree(step: Any, **options: Any) -> None:
    for one, other in zip(run(step, "cpu", **options), run(step, "reference", **options), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other)


def of_voltage(apply: Any) -> Any:
    """A step that applies a function to a value of the shape of the state."""

    def step(x: Tensor, h: Tensor, p: Tensor) -> Any:
        h = apply(p * h + x)
        return torch.tanh(h), h

    return step


def of_parameter(apply: Any) -> Any:
    def step(x: Tensor, h: Tensor, p: Tensor) -> Any:
        h = torch.tanh(h * apply(p) + x)
        return h, h

    return step


def saved(ctx: Any, a: Tensor) -> Tensor:
    ctx.save_for_backward(a)
    return a.sign()


def of_saved(ctx: Any, gradient: Tensor) -> Tensor:
    return gradient / (1 + ctx.saved_tensors[0].abs()) ** 2


LINEAR: dict[str, Any] = {
    "scaled": function(lambda ctx, g: 0.1 * g),
    "surrogate": function(of_saved, saved),
    "reversed": function(lambda ctx, g: g.neg()),
    "changed in place": function(lambda ctx, g: g.mul_(2)),
    "chosen by a saved tensor": function(lambda ctx, g: torch.where(ctx.saved_tensors[0] > 0, g, 0.1 * g), saved),
    "once differentiable": function(once_differentiable(lambda ctx, g: g / 3 - 2 * g)),
    "zero": function(lambda ctx, g: torch.zeros_like(g)),
    "addcmul": function(lambda ctx, g: torch.addcmul(g, g, ctx.saved_tensors[0]), saved),
}
CLIPPING: dict[str, Any] = {
    "clamp": function(lambda ctx, g: g.clamp(-0.3, 0.3)),
    "sign": function(lambda ctx, g: g.sign()),
    "tanh": function(lambda ctx, g: 0.1 * torch.tanh(g)),
    "where": function(lambda ctx, g: torch.where(g > 0.2, 0.2, g)),
    "square": function(lambda ctx, g: g * g),
    "nan_to_num": function(lambda ctx, g: torch.nan_to_num(g)),
    "product of two": function(lambda ctx, g: g * torch.where(g.abs() < 1, 1.0, 1 / g.abs()).to(g.dtype)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lengths": {"lengths": torch.tensor([5, 0, 2])},
    "lengths, reverse": {"lengths": torch.tensor([5, 0, 2]), "reverse": True, "checkpoint_every": 2},
}


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("option", OPTIONS)
def test_linear_backward_passes_agree_with_the_reference(name: str, option: str) -> None:
    agree(of_voltage(LINEAR[name]), **OPTIONS[option])
    agree(of_parameter(LINEAR[name]), **OPTIONS[option])


@pytest.mark.parametrize("name", CLIPPING)
@pytest.mark.parametrize("option", OPTIONS)
def test_clipped_gradients_agree_elementwise_and_are_refused_for_parameters(name: str, option: str) -> None:
    agree(of_voltage(CLIPPING[name]), **OPTIONS[option])
    with pytest.raises(UnsupportedStepError, match=r"OfUser \(test_functions.py, line \d+\) is not linear"):
        run(of_parameter(CLIPPING[name]), "cpu", **OPTIONS[option])


def test_clipping_the_gradient_of_a_broadcast_input_is_refused() -> None:
    def step(x: Any, h: Tensor, params: Any) -> Any:
        return CLIPPING["clamp"](x[0]) * x[1], h

    x, state = torch.randn(5, 3, 4), torch.zeros(3, 4)
    scan(step, (x, x), state, backend="cpu")
    with pytest.raises(UnsupportedStepError, match="is not linear"):
        scan(step, (x[:, :1], x), state, backend="cpu")


@pytest.mark.parametrize("backward", [lambda ctx, g: torch.ones_like(g), lambda ctx, g: g + 1, lambda ctx, g: g.cos()])
def test_a_backward_pass_that_makes_a_gradient_of_zero_is_refused(backward: Backward) -> None:
    """Beyond the end of a sequence, or without a gradient of the state, the reference may not call the function."""
    with pytest.raises(UnsupportedStepError, match="may return a gradient for a gradient of zero"):
        run(of_voltage(function(backward)), "cpu")


def test_a_backward_pass_that_makes_a_gradient_of_none_is_refused() -> None:
    """The reference calls the function only where the state has a gradient."""
    cut, ones = function(lambda ctx, g: None), function(lambda ctx, g: torch.ones_like(g))

    def step(x: Tensor, h: Tensor, p: Tensor) -> Any:
        return h + x, cut(ones(p * h)) + 0.5 * h

    with pytest.raises(UnsupportedStepError, match="may return a gradient for a gradient of zero"):
        run(step, "cpu")


@pytest.mark.parametrize("none_is_zero", [True, False])
def test_a_gradient_that_is_none_counts_as_zero(none_is_zero: bool) -> None:
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Tensor) -> Any:
            ctx.set_materialize_grads(False)
            return 2 * a, 0.3 * a

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor | None) -> Any:
            known = [scale * each for scale, each in zip((2, 0.3), gradients, strict=True) if each is not None]
            return sum(known) if none_is_zero else sum(known) / len(known)

    def step(x: Tensor, h: Tensor, p: Tensor) -> Any:
        return Both.apply(p * h + x)

    if none_is_zero:
        for used in (None, 0, 1):
            agree(step, used=used)
    else:
        with pytest.raises(UnsupportedStepError, match="a gradient that is None, see set_materialize_grads"):
            run(step, "cpu")


def test_a_backward_pass_that_returns_none_ends_the_path() -> None:
    cut = function(lambda ctx, g: None)

    def parameter(x: Tensor, h: Tensor, p: Tensor) -> Any:
        return (cut(p) * x, p * x), 0.5 * h

    def state(x: Tensor, h: Tensor, p: Tensor) -> Any:
        return (cut(h) * x, x), p * h

    def derivative(x: Tensor, h: Tensor, p: Tensor) -> Any:
        return (surrogate.with_derivative((x > 0).to(x.dtype), x, p.expand_as(x)), p * x), 0.5 * h

    for step, used in itertools.product((parameter, state, derivative), (None, 0, 1, 2)):
        agree(step, used=used)


def test_a_backward_pass_that_returns_none_ends_the_path_through_a_weight() -> None:
    cut = function(lambda ctx, g: None)

    def step(x: Tensor, recurrent: Tensor, h: Tensor, params: Any) -> Any:
        return (x * cut(recurrent), x + recurrent), 0.5 * h + x

    for used in range(2):
        found = []
        for backend in ("cpu", "reference"):
            weight = torch.eye(4).requires_grad_()
            y, _ = dense_scan(step, torch.ones(5, 3, 4), torch.zeros(3, 4), (), weight, backend=backend)
            y[used].sum().backward()
            found.append(weight.grad)
        assert (found[0] is None) == (found[1] is None) == (used == 0)
        if used:
            torch.testing.assert_close(*found)


numbers: Iterator[int] = itertools.count()


@pytest.mark.parametrize(
    ("backward", "message"),
    [
        (lambda ctx, g: 2 * g if g.requires_grad else g, "reads requires_grad"),
        (lambda ctx, g: g * next(numbers), "derivative of the step computes something else when it runs again"),
        (lambda ctx, g: g * torch.rand_like(g), "aten.rand_like is not supported"),
        (lambda ctx, g: g[:1], "is not elementwise|changes a shape|not supported"),
    ],
)
def test_a_backward_pass_that_reads_what_may_change_is_refused(backward: Backward, message: str) -> None:
    with pytest.raises(UnsupportedStepError, match=message):
        run(of_voltage(function(backward)), "cpu")


def with_shape(ctx: Any, a: Tensor) -> Tensor:
    ctx.save_for_backward(a)
    ctx.shape = a.shape
    return 2 * a


def set_where_small(ctx: Any, g: Tensor) -> Tensor:
    g = g.clone()
    g[ctx.saved_tensors[0].abs() < 0.5] = 0
    return g


@pytest.mark.parametrize(
    "backward",
    [
        lambda ctx, g: g / g.shape[-1],
        lambda ctx, g: g * g.numel(),
        lambda ctx, g: g * len(g),
        lambda ctx, g: 3 * g.view(ctx.shape),
        set_where_small,
    ],
)
def test_a_gradient_has_the_shape_of_the_result(backward: Backward) -> None:
    apply = function(backward, with_shape)
    agree(of_voltage(apply))
    agree(of_parameter(apply))

    def changed(x: Tensor, h: Tensor, p: Tensor) -> Any:
        return apply(x).mul_(3), h

    with pytest.raises(UnsupportedStepError, match=r"shape of a gradient|index_put"):  # that of an unknown result
        run(changed, "cpu")


def test_a_mask_must_have_the_shape_of_the_tensor() -> None:
    """With a mask [B] or [N], torch selects rows or raises an error."""

    def backward(ctx: Any, g: Tensor) -> Tensor:
        g = g.clone()
        g[ctx.threshold > 0] = 0
        return g

    def step(x: Tensor, h: Tensor, p: Tensor) -> Any:
        def forward(ctx: Any, a: Tensor) -> Tensor:
            ctx.threshold = p.detach()
            return 2 * a

        return function(backward, forward)(x + h), h

    with pytest.raises(UnsupportedStepError, match="index_put"):
        run(step, "cpu")


def test_refused_functions_run_on_the_reference_backend() -> None:
    step = of_parameter(CLIPPING["clamp"])
    with pytest.warns(UserWarning, match="is not linear in the gradient"):
        found = run(step, "auto")
    torch.testing.assert_close(found, run(step, "reference"))
