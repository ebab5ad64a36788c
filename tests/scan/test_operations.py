"""Each operation on its own: the CPU backend against eager torch, forward and gradient, at special values too."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from bionets.scan import scan
from bionets.scan.arguments import read_arguments
from bionets.scan.operations import OPERATIONS
from bionets.scan.program import find_program
from bionets.scan.trace.lowering import LOWERINGS

from .operation_checks import (
    GROUPS,
    SAMPLES,
    check_agreement_with_eager_torch,
    check_zeros_infinities_and_nan,
    inputs_of,
    name_group,
    step_of,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("names", GROUPS, ids=name_group)
def test_agrees_with_eager_torch(names: list[str], dtype: torch.dtype) -> None:
    check_agreement_with_eager_torch(names, dtype, "cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("names", GROUPS, ids=name_group)
def test_zeros_infinities_and_nan_agree_with_eager_torch(names: list[str], dtype: torch.dtype) -> None:
    check_zeros_infinities_and_nan(names, dtype, "cpu")


def smooth_l1(x: Tensor) -> Tensor:
    return F.smooth_l1_loss(x, torch.zeros_like(x), reduction="none")


@pytest.mark.parametrize(
    "function", [F.elu, F.selu, F.hardswish, F.hardsigmoid, F.relu6, F.hardshrink, F.softshrink, smooth_l1]
)
def test_the_gradient_at_nan_is_that_of_torch(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.full((1, 1, 64), float("nan"), requires_grad=True)
    y, _ = scan(lambda x, h, p: (function(x), h), x, torch.zeros(1, 64), backend="cpu")
    found, expected = (torch.autograd.grad(each.sum(), x)[0] for each in (y, function(x)))
    torch.testing.assert_close(found, expected, equal_nan=True)


class _Seen(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__.removesuffix("_"))
        return func(*args, **(kwargs or {}))


def test_the_samples_reach_every_operation_of_the_table() -> None:
    program = find_program(
        (step_of(sorted(SAMPLES)),),
        read_arguments(tuple(inputs_of(sorted(SAMPLES), torch.float32)), torch.zeros(7, 5), (), (), None, False, 1),
    ).program
    reached = {node.op for node in program.stages[0].graph.nodes}
    assert set(OPERATIONS) <= reached


# reached by way of other names, or in the derivative of some operation alone
INDIRECT = {"contiguous", "type_as", "to", "divide", "true_divide", "clip", "fix", "special_erf", "lift_fresh_copy"}
INDIRECT |= {
    "__and__",
    "__or__",
    "__xor__",
    "new_zeros",
    "new_ones",
    "new_full",
    "zeros",
    "ones",
    "full",
    "fill",
    "zero",
}
INDIRECT |= {"scalar_tensor", "clone", "square", "new_empty", "empty", "isfinite", "positive"}


def test_the_samples_reach_every_lowering() -> None:
    with _Seen() as seen:
        for sample in SAMPLES.values():
            leaves = [torch.rand(3, requires_grad=True) for _ in range(sample.inputs)]
            result = sample.function(*leaves)
            if result.requires_grad:
                torch.autograd.grad(result.sum(), leaves, allow_unused=True)
    assert set(LOWERINGS) - INDIRECT <= seen.names


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda x: (x > 0).int() // 2, "floor_divide"),
        (lambda x: (x > 0).int() % 2, "remainder"),
        (lambda x: x.half(), "_to_copy"),
        (lambda x: torch.polar(x, x).real, "polar"),
        (lambda x: x.view(torch.int32), "view"),
        (lambda x: torch.lgamma(x), "lgamma"),
        (lambda x: torch.round(x, decimals=1), "round"),
    ],
)
def test_unsupported_operations_are_refused_by_name_and_line(step: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"{message}.*test_operations.py, line \d+"):
        scan(lambda x, h, p: (step(x), h), torch.randn(2, 3, 4), torch.zeros(3, 4), backend="cpu")


def test_a_step_without_a_derivative_in_torch_is_refused_by_name() -> None:
    with pytest.raises(NotImplementedError, match="floor_divide"):
        scan(lambda x, h, p: (x // 2, h), torch.randn(2, 3, 4), torch.zeros(3, 4), backend="cpu")


def test_the_former_name_of_the_backend_is_accepted() -> None:
    with pytest.warns(DeprecationWarning, match="'cpu'"):
        scan(lambda x, h, p: (x, h), torch.randn(2, 3, 4), torch.zeros(3, 4), backend="numba")
