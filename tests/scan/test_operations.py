"""Each operation on its own: the CPU backend against eager torch, forward and gradient, at special values too."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bionets.scan import scan
from bionets.scan.arguments import read_arguments
from bionets.scan.lowering import LOWERINGS
from bionets.scan.operations import OPERATIONS
from bionets.scan.program import find_program

from .operation_samples import DOMAINS, SMOOTH, SPECIAL, STEPWISE, Sample

PROCESSORS_DIFFER = ("gelu", "to long")  # at infinity, and where no integer is

TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-13}


def _groups(samples: dict[str, Sample], size: int = 12) -> Iterator[list[str]]:
    names = sorted(samples)
    for start in range(0, len(names), size):
        yield names[start : start + size]


GROUPS = [*_groups(SMOOTH), *_groups(STEPWISE)]
SAMPLES = SMOOTH | STEPWISE


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: f"{names[0]} to {names[-1]}")
def test_agrees_with_eager_torch(names: list[str], dtype: torch.dtype) -> None:
    leaves = inputs_of(names, dtype)
    (found, gradients), (expected, true_gradients) = (run(names, leaves, backend) for backend in ("cpu", "reference"))
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    for name, ours, theirs in zip(names, found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance, msg=lambda m, name=name: f"{name}: {m}")
    owners = [name for name in names for _ in range(SAMPLES[name].inputs)]
    for name, ours, theirs in zip(owners, gradients, true_gradients, strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(
            ours / scale, theirs / scale, **tolerance, msg=lambda m, name=name: f"gradient of {name}: {m}"
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: f"{names[0]} to {names[-1]}")
def test_zeros_infinities_and_nan(names: list[str], dtype: torch.dtype) -> None:
    """Forward. Conversions of what no integer can hold are left out: processors differ."""
    chosen = [name for name in names if name not in PROCESSORS_DIFFER and "int" not in name]
    if not chosen:
        pytest.skip("integers only")
    with torch.no_grad():
        leaves = inputs_of(chosen, dtype, special=True)
        found, expected = (
            scan(step_of(chosen), tuple(leaves), torch.zeros_like(leaves[0][0]), backend=backend)[0]
            for backend in ("cpu", "reference")
        )
    tolerance = {"rtol": 2 * TOLERANCE[dtype], "atol": torch.finfo(dtype).tiny, "equal_nan": True}
    for name, ours, theirs in zip(chosen, found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance, msg=lambda m, name=name: f"{name}: {m}")


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
def test_what_is_not_supported_is_refused_by_name_and_line(step: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"{message}.*test_operations.py, line \d+"):
        scan(lambda x, h, p: (step(x), h), torch.randn(2, 3, 4), torch.zeros(3, 4), backend="cpu")


def test_a_step_whose_derivative_torch_lacks_is_refused_by_name() -> None:
    with pytest.raises(NotImplementedError, match="floor_divide"):
        scan(lambda x, h, p: (x // 2, h), torch.randn(2, 3, 4), torch.zeros(3, 4), backend="cpu")


def test_the_former_name_of_the_backend_is_accepted() -> None:
    with pytest.warns(DeprecationWarning, match="'cpu'"):
        scan(lambda x, h, p: (x, h), torch.randn(2, 3, 4), torch.zeros(3, 4), backend="numba")
