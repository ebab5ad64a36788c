"""The projection of the input onto all gates, against torch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from bionets.scan import project


def _inputs(shape: tuple[int, ...], features: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(sum(shape) + features)
    x = torch.randn(shape, generator=generator, dtype=dtype, requires_grad=True)
    return x, torch.randn(features, shape[-1], generator=generator, dtype=dtype, requires_grad=True)


def _gradients(function: object, x: Tensor, weight: Tensor, seed: Tensor) -> tuple[Tensor, ...]:
    assert callable(function)
    return torch.autograd.grad(function(x, weight), (x, weight), seed)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 90), st.sampled_from([torch.float32, torch.float64]))
def test_values_and_gradients_are_those_of_linear(batch: int, inputs: int, features: int, dtype: torch.dtype) -> None:
    time = 1 + (1 << 18) // (batch * inputs * features)  # large enough for the product of the scan
    x, weight = _inputs((time, batch, inputs), features, dtype)
    ours, theirs = project(x, weight), F.linear(x, weight)
    torch.testing.assert_close(ours, theirs)
    seed = torch.randn(theirs.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    tolerance = {"rtol": 1e-3, "atol": 1e-3} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    for a, b in zip(_gradients(project, x, weight, seed), _gradients(F.linear, x, weight, seed), strict=True):
        torch.testing.assert_close(a, b, **tolerance)


def test_any_layout_and_a_frozen_weight_agree_with_linear() -> None:
    x, weight = _inputs((64, 50, 30), 45, torch.float32)
    across = x.detach().transpose(0, 1).requires_grad_()
    out = project(across, weight.detach())
    torch.testing.assert_close(out, F.linear(across, weight))
    out.sum().backward()
    torch.testing.assert_close(across.grad, weight.detach().sum(0).expand_as(across), rtol=1e-4, atol=1e-4)


def test_an_expanded_input_agrees_with_linear() -> None:
    x, weight = _inputs((1, 1, 33), 9, torch.float64)
    everywhere = x.detach().expand(1000, 3, 33)
    out = project(everywhere, weight)
    torch.testing.assert_close(out, F.linear(everywhere, weight))
    out.sum().backward()
    torch.testing.assert_close(weight.grad, 3000 * x.detach()[0].expand(9, 33))


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    x, weight = _inputs((100, 31, 33), 99, torch.float32)
    seed, results, threads = torch.ones(100, 31, 99), [], torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append((project(x, weight), *_gradients(project, x, weight, seed)))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("columns", [60, 130])
def test_a_weight_of_the_wrong_width_is_refused(columns: int) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        project(torch.randn(100, 50, 100), torch.randn(200, columns))


@pytest.mark.parametrize("shape", [(), (100,), (2, 3, 100)])
def test_a_weight_that_is_not_a_matrix_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"weight must be \[G \* H, I\], got \["):
        project(torch.randn(100, 50, 100), torch.randn(shape))


def test_second_derivatives_are_those_of_linear() -> None:
    x, weight = _inputs((100, 31, 33), 99, torch.float64)
    (first,) = torch.autograd.grad(project(x, weight).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), weight)
    (wanted,) = torch.autograd.grad(F.linear(x, weight).square().sum(), x, create_graph=True)
    torch.testing.assert_close(second, torch.autograd.grad(wanted.sum(), weight)[0])


def test_second_derivatives_reach_what_a_lazily_negated_weight_was_made_of() -> None:
    x = torch.randn(40, 16, 33, dtype=torch.float64, requires_grad=True)
    made_of = torch.randn(66, 33, dtype=torch.complex128, requires_grad=True)
    found = []
    for function in (project, F.linear):
        (first,) = torch.autograd.grad(function(x, made_of.conj().imag).pow(3).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), made_of)[0])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_stay_in_their_row(value: float) -> None:
    x, weight = _inputs((100, 31, 33), 99, torch.float32)
    x.detach()[3, 4, 5] = value
    torch.testing.assert_close(project(x, weight), F.linear(x, weight), equal_nan=True)


def test_autocast_gives_bfloat16() -> None:
    x, weight = _inputs((100, 31, 33), 99, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert project(x, weight).dtype == torch.bfloat16


def test_a_lazily_negated_weight_agrees_with_linear() -> None:
    x, weight = _inputs((100, 10, 64), 64, torch.float32)
    negated = torch._neg_view(weight.detach())  # what .imag of a conjugate is, too
    for lazy in (negated, negated.T):
        torch.testing.assert_close(project(x, lazy), F.linear(x, lazy))
        seed = torch.ones(100, 10, 64)
        ours, theirs = (torch.autograd.grad(function(x, lazy), x, seed) for function in (project, F.linear))
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
