"""Function transforms, lazily negated tensors, devices without memory: the numbers of the reference, or an error that
says what to use."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from bionets.layers import BRC
from bionets.scan import dense_scan, project, scan, split_gates

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(5, 2, 3, dtype=torch.float64, generator=GENERATOR)
Y = torch.randn(5, 2, 3, dtype=torch.float64, generator=GENERATOR)
STATE = torch.randn(2, 3, dtype=torch.float64, generator=GENERATOR)
GAIN = torch.rand(3, dtype=torch.float64, generator=GENERATOR)
WEIGHT = torch.randn(3, 3, dtype=torch.float64, generator=GENERATOR)


def step(x: Tensor, h: Tensor, params: Any) -> Any:
    h = torch.tanh(params * h + x)
    return h, h


def recurrent_step(x: Tensor, recurrent: Tensor, h: Tensor, params: Any) -> Any:
    h = torch.tanh(recurrent + params * x)
    return h, h


def run(backend: str, x: Tensor = X, state: Tensor = STATE, gain: Tensor = GAIN) -> Tensor:
    return scan(step, x, state, gain, backend=backend)[0]


def run_dense(backend: str, x: Tensor = X, weight: Tensor = WEIGHT) -> Tensor:
    return dense_scan(recurrent_step, x, STATE, GAIN, weight, backend=backend)[0]


LAYERS = {backend: BRC(3, 4, backend=backend).double() for backend in ("auto", "cpu", "reference")}
for layer in LAYERS.values():
    layer.load_state_dict(LAYERS["reference"].state_dict())


def run_layer(backend: str, x: Tensor = X) -> Tensor:
    return LAYERS[backend](x)[0]


RUNS: dict[str, Callable[..., Tensor]] = {"scan": run, "dense": run_dense, "layer": run_layer}


def dual(function: Callable[[Tensor], Tensor], requires_grad: bool = False) -> Any:
    with forward_ad.dual_level():
        y = function(forward_ad.make_dual(X.clone().requires_grad_(requires_grad), Y))
        unpacked = forward_ad.unpack_dual(y)
        assert unpacked.tangent is not None
        return unpacked.primal.detach(), unpacked.tangent.detach()


TRANSFORMS: dict[str, Callable[[Callable[[Tensor], Tensor]], Any]] = {
    "dual numbers": dual,
    "dual numbers with gradients": lambda f: dual(f, True),
    "jvp": lambda f: torch.func.jvp(f, (X,), (Y,)),
    "linearize": lambda f: torch.func.linearize(f, X)[1](Y),
    "grad": lambda f: torch.func.grad(lambda x: f(x).square().sum())(X),
    "vjp": lambda f: torch.func.vjp(f, X)[1](f(X)),
    "jacrev": lambda f: torch.func.jacrev(lambda x: f(x).sum((0, 1)))(X),
    "jacfwd": lambda f: torch.func.jacfwd(lambda x: f(x).sum((0, 1)))(X),
    "hessian": lambda f: torch.func.hessian(lambda x: f(x).square().sum())(X),
    "vmap of grad": lambda f: torch.vmap(torch.func.grad(lambda x: f(x).square().sum()))(torch.stack([X, Y])),
    "grad of vmap": lambda f: torch.func.grad(lambda x: torch.vmap(f)(torch.stack([x, Y])).square().sum())(X),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("kind", RUNS)
def test_transforms_agree_with_the_reference(kind: str, name: str) -> None:
    function, transform = RUNS[kind], TRANSFORMS[name]
    expected = transform(lambda x: function("reference", x))
    torch.testing.assert_close(transform(lambda x: function("auto", x)), expected)
    with pytest.raises(ValueError, match=r"backend 'cpu' .* use backend='reference' or 'auto'"):
        transform(lambda x: function("cpu", x))


@pytest.mark.parametrize("kind", RUNS)
def test_backward_under_vmap_is_compiled(kind: str) -> None:
    rows = []
    for backend in ("reference", "cpu"):
        x = X.clone().requires_grad_()
        y = RUNS[kind](backend, x)
        cotangents = torch.stack([torch.ones_like(y), y.detach(), y.detach().cos()])
        rows.append(torch.vmap(lambda v, x=x, y=y: torch.autograd.grad(y, x, v, retain_graph=True)[0])(cotangents))
    torch.testing.assert_close(*rows)


def test_derivatives_without_a_compiled_form_are_refused_with_an_alternative() -> None:
    x = X.clone().requires_grad_()
    y = run("cpu", x)
    with pytest.raises(RuntimeError, match=r"torch.vmap of torch.autograd.grad, or backend='reference'"):
        torch.autograd.grad(y, x, torch.stack([y.detach()] * 2), is_grads_batched=True)
    (first,) = torch.autograd.grad(run("cpu", x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative on compiled backends; use backend='reference'"):
        torch.autograd.grad(first.sum(), x)


def negated(tensor: Tensor) -> Tensor:
    """-tensor, as a view that is negated when it is read."""
    view = torch._neg_view(tensor)
    assert view.is_neg()
    return view


def test_lazily_negated_tensors_agree_with_the_reference() -> None:
    torch.testing.assert_close(run("cpu", negated(X)), run("reference", -X))
    torch.testing.assert_close(run("cpu", X, negated(STATE)), run("reference", X, -STATE))
    torch.testing.assert_close(run("cpu", X, STATE, negated(GAIN)), run("reference", X, STATE, -GAIN))
    torch.testing.assert_close(run_dense("cpu", X, negated(WEIGHT)), run_dense("reference", X, -WEIGHT))
    torch.testing.assert_close(run_layer("cpu", negated(X)), run_layer("reference", -X))
    wide, weight = torch.randn(5, 20, 600), torch.randn(600, 600)
    torch.testing.assert_close(project(negated(wide), weight), -project(wide, weight))
    torch.testing.assert_close(project(wide, negated(weight)), -project(wide, weight))


def test_lazily_negated_and_zero_gradients_are_accepted() -> None:
    x = X.clone().requires_grad_()
    y, last = scan(step, x, STATE, GAIN, backend="cpu")
    (expected,) = torch.autograd.grad([y, last], x, [-Y, -Y[0]], retain_graph=True)
    (found,) = torch.autograd.grad([y, last], x, [negated(Y), negated(Y[0])], retain_graph=True)
    torch.testing.assert_close(found, expected)
    zero = torch._efficientzerotensor(y.shape, dtype=y.dtype)
    assert torch.autograd.grad(y, x, zero, retain_graph=True)[0].abs().max() == 0
    pair = split_gates(torch.cat([x, x], -1), 2)
    (found,) = torch.autograd.grad(pair, x, [negated(Y), Y])
    torch.testing.assert_close(found, torch.zeros_like(found))


def test_inference_mode_and_the_meta_device_are_supported() -> None:
    with torch.inference_mode():
        torch.testing.assert_close(run("auto"), run("reference"))
        torch.testing.assert_close(run_layer("auto"), run_layer("reference"))
    y, state = scan(step, X.to("meta"), STATE.to("meta"), GAIN.to("meta"))
    assert (y.device.type, y.shape, state.shape) == ("meta", X.shape, STATE.shape)
    with pytest.raises(ValueError, match="needs tensors on cpu, got meta"):
        scan(step, X.to("meta"), STATE.to("meta"), GAIN.to("meta"), backend="cpu")
    with pytest.raises(TypeError, match=r"dense tensors, got torch.sparse_coo; use to_dense"):
        scan(step, X.to_sparse(), STATE, GAIN)


slope = 1.0


def annealed(x: Tensor, h: Tensor, params: Any) -> Any:
    h = slope * torch.tanh(h + x)
    return h, h


class Cell:
    slope = 1.0

    def step(self, x: Tensor, h: Tensor, params: Any) -> Any:
        h = self.slope * torch.tanh(h + x)
        return h, h


def test_code_of_torch_compile_follows_a_changed_step_or_raises_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.compiler.reset()
    cell = Cell()

    def function(x: Tensor) -> Tensor:
        return scan(annealed, x, STATE, backend="auto")[0]

    def method(x: Tensor) -> Tensor:
        return scan(cell.step, x, STATE, backend="auto")[0]

    for plain in (function, method):
        compiled = torch.compile(plain, backend="aot_eager")
        torch.testing.assert_close(compiled(X), plain(X))
        monkeypatch.setattr("tests.scan.test_transforms.slope", 3.0)
        cell.slope = 3.0
        try:
            torch.testing.assert_close(compiled(X), plain(X))
        except RuntimeError as error:
            assert "changed since torch.compile" in str(error)
            torch.compiler.reset()
            torch.testing.assert_close(compiled(X), plain(X))
        monkeypatch.undo()
        cell.slope = 1.0


def test_a_second_derivative_with_respect_to_the_gradient_of_y_is_refused() -> None:
    """For example that of a layer after the scan."""
    x, behind = X.clone().requires_grad_(), torch.ones(3, dtype=X.dtype, requires_grad=True)
    (first,) = torch.autograd.grad((run("cpu", x) * behind).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative on compiled backends"):
        torch.autograd.grad(first.square().sum(), behind, allow_unused=True)


def test_a_second_derivative_through_split_gates_is_correct() -> None:
    """The gradients of the gates, which are adjacent in memory, are not read as one tensor."""
    x, gradient = torch.randn(4, 2, 6).requires_grad_(), torch.randn(4, 2, 3, 2).requires_grad_()
    gates = split_gates(x, 3)
    (found,) = torch.autograd.grad(gates, x, gradient.unbind(-2), create_graph=True)
    torch.testing.assert_close(found, gradient.flatten(-2))
    (second,) = torch.autograd.grad(found.sum(), gradient)
    torch.testing.assert_close(second, torch.ones_like(gradient))


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_step_may_be_traced_within_a_checkpoint(reentrant: bool) -> None:
    factor = [2.0]  # a list: the step is traced at every call

    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        h = torch.tanh(h + factor[0] * x)
        return h * h, h

    found = []
    for backend in ("cpu", "reference"):
        x = X.clone().requires_grad_()
        y = torch.utils.checkpoint.checkpoint(
            lambda x, backend=backend: scan(step, x, STATE, backend=backend)[0], x, use_reentrant=reentrant
        )
        y.square().sum().backward()
        found.append(x.grad)
    torch.testing.assert_close(*found)


def test_hooks_for_saved_tensors_receive_only_the_tensors_of_the_call() -> None:
    seen: list[torch.Size] = []

    def pack(tensor: Tensor) -> Tensor:
        seen.append(tensor.shape)
        return tensor.clone()

    x = X.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor.clone()):
        y, _ = scan(lambda x, h, p: (torch.exp(h + x), h * x), x, STATE, backend="cpu")
        assert len(torch.sin(x)) == len(X)  # the hooks are active again
    assert torch.Size([2]) not in seen and seen.count(X.shape) >= 2
    (found,) = torch.autograd.grad(y.sum(), x)
    (expected,) = torch.autograd.grad(
        scan(lambda x, h, p: (torch.exp(h + x), h * x), x, STATE, backend="reference")[0].sum(), x
    )
    torch.testing.assert_close(found, expected)
