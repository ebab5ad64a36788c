"""Tracing: cached steps, refused steps and their messages, and the traced graph."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from bionets.scan import scan, surrogate
from bionets.scan.arguments import read_arguments
from bionets.scan.program import Program, find_program
from bionets.scan.trace.identity import identify

from .cells import SURROGATES, brc

X, STATE = torch.randn(4, 2, 3), torch.zeros(2, 3)


def program(step: Any, x: Any = X, state: Any = STATE, params: Any = ()) -> Program:
    return find_program((step,), read_arguments(x, state, params, (), None, False, 1)).program


def test_the_forward_graph_has_no_derivatives_and_the_backward_graph_reads_no_gates() -> None:
    graph = program(brc, (X, X, X), STATE, (torch.ones(3), torch.ones(3))).stages[0].graph
    forward = graph.select(["y0", "new_state0"])
    assert set(forward.inputs) == {"x0", "x1", "x2", "state0", "params0", "params1"}
    backward = graph.select([name for name in graph.outputs if name.startswith("grad_")])
    assert set(backward.inputs) == set(forward.inputs) | {"grad_y0", "grad_new_state0"}
    assert forward.outputs["y0"] == forward.outputs["new_state0"]


def test_elements_may_be_set_by_a_mask() -> None:
    def step(x: Tensor, h: Tensor, p: Tensor) -> Any:
        spike, h, gain = torch.zeros_like(x), 0.9 * h + x, 2 * p
        spike[h > 0.5] = 1
        h[h < -0.5] = -0.5
        gain[p < 0] = 0.1
        return spike + gain * h, h

    x, h, p = (torch.randn(shape, requires_grad=True) for shape in ((6, 2, 3), (2, 3), (3,)))
    found = []
    for backend in ("cpu", "reference"):
        y, final = scan(step, x, h, p, backend=backend)
        found.append((y, final, *torch.autograd.grad(y.square().sum() + final.sum(), (x, h, p))))
    torch.testing.assert_close(*found)


def test_equal_values_are_computed_once() -> None:
    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        return torch.tanh(x + h) * torch.tanh(h + x), h

    nodes = program(step).stages[0].graph.select(["y0"]).nodes
    assert sum(node.op == "tanh" for node in nodes) == 1


def cumulative(x: Tensor, h: Tensor, params: Any) -> Any:
    h = h + x
    y = torch.cumsum(h, 0)
    return y, h


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (cumulative, r"aten.cumsum is not supported in a step \(test_trace.py, line \d+: y = torch.cumsum\(h, 0\)\)"),
        (lambda x, h, p: (x.sum(), h), "aten.sum is not supported"),
        (lambda x, h, p: (x + torch.rand_like(x), h), "aten.rand_like is not supported"),
        (lambda x, h, p: (x.to(torch.complex64).real, h), "aten._to_copy"),
        (lambda x, h, p: (x + X[0, 0, :2], h), "hand it in through params"),
    ],
)
def test_steps_that_cannot_be_compiled_are_refused_with_their_line(step: Any, message: str) -> None:
    with pytest.raises(NotImplementedError, match=message):
        scan(step, X, STATE, backend="cpu")


def test_auto_falls_back_with_a_warning_that_gives_the_reason() -> None:
    with pytest.warns(UserWarning, match="aten.cumsum"):
        found = scan(cumulative, X, STATE)
    torch.testing.assert_close(found, scan(cumulative, X, STATE, backend="reference"))


def test_operations_beyond_the_table_are_decomposed() -> None:
    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        f = torch.nn.functional
        h = f.silu(x) * f.elu(h) + f.gelu(x) + f.logsigmoid(h) + f.hardtanh(x) + f.mish(h) + f.softsign(x)
        return h, h

    x = X.clone().requires_grad_()
    found, expected = (scan(step, x, STATE, backend=backend)[0] for backend in ("cpu", "reference"))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(y.sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def make_step(slope: float, function: Any = surrogate.sigmoid) -> Any:
    return lambda x, h, params: (function(x + h, slope), h)


def test_a_step_is_identified_by_its_code_and_constants() -> None:
    assert identify(make_step(2.0)) == identify(make_step(2.0))
    assert identify(make_step(2.0)) != identify(make_step(3.0))
    assert identify(make_step(2.0)) != identify(make_step(2.0, surrogate.arctan))
    assert identify(partial(brc, params=1)) == identify(partial(brc, params=1))
    assert program(make_step(2.0)) is program(make_step(2.0))


def test_a_helper_redefined_under_the_same_name_is_traced_again() -> None:
    source = "def step(x, h, params):\n    return helper(x), h\n"
    results = []
    for factor in (2.0, 3.0):
        names: dict[str, Any] = {}
        exec(f"def helper(x):\n    return x * {factor}\n{source}", names)
        results.append(scan(names["step"], X, STATE, backend="cpu")[0])
    torch.testing.assert_close(results, [X * 2, X * 3])


def test_a_step_is_traced_again_when_something_it_reads_has_changed() -> None:
    factor = 2.0
    names: dict[str, Any] = {"scale": 1.0, "helper": lambda x: x}
    exec("def step(x, h, params):\n    return helper(x) * scale * abs(-1.0), h\n", names)

    def closed(x: Tensor, h: Tensor, params: Any) -> Any:
        return x * factor, h

    def found(step: Any) -> float:
        return float((scan(step, X, STATE, backend="cpu")[0] / X).mean())

    assert found(names["step"]) == pytest.approx(1) and found(closed) == pytest.approx(2)
    names["scale"], factor = 3.0, 5.0
    assert found(names["step"]) == pytest.approx(3) and found(closed) == pytest.approx(5)
    names["helper"] = lambda x: x * 7
    assert found(names["step"]) == pytest.approx(21)
    names["abs"] = lambda x: 2.0  # hides the builtin
    assert found(names["step"]) == pytest.approx(42)
    names["step"].__code__ = (lambda x, h, params: (x * 11, h)).__code__
    assert found(names["step"]) == pytest.approx(11)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(3), STATE, ()), r"x must be \[T, B, \*N\], got \[3\]"),
        ((X, torch.zeros(2, 4), ()), "do not broadcast"),
        ((X, STATE, torch.zeros(4)), "do not broadcast"),
        ((X, STATE, torch.zeros(2, 3)), r"params must be scalar or \[3\]"),
        ((X, (), ()), "state must hold at least one tensor"),
        (((), STATE, ()), "x must hold at least one tensor"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scan(lambda x, h, p: (x, h), *arguments)


def test_arguments_of_wrong_types_are_refused() -> None:
    from bionets.scan import dense_scan

    def step(x: Tensor, h: Tensor, p: Any) -> Any:
        return x, h

    with pytest.raises(TypeError, match="params must be a tensor"):
        scan(step, X, STATE, 0.5)
    for wrong in ([step, step], None, (step, 0.5)):
        with pytest.raises(TypeError, match="step must be a function or, in dense_scan, a tuple of functions, got"):
            dense_scan(wrong, X, STATE, (), (torch.eye(3),) * 2)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="step must be a function"):
            scan(wrong, X, STATE)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="lengths must be a tensor of integers, got a list"):
        scan(step, X, STATE, lengths=[4, 4])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="checkpoint_every must be a whole number of at least 1, got"):
        scan(step, X, STATE, checkpoint_every=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lengths are for at most 16,777,216 steps, got 20,000,000"):
        scan(step, torch.zeros(1, 2, 3).expand(20_000_000, 2, 3), STATE, lengths=torch.tensor([4, 4]))
    with pytest.raises(TypeError, match="reset must be a tensor of bools, got a list"):
        scan(step, X, STATE, reset=[[True, False]] * 4)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="weight must be a tensor or a tuple of tensors, got list"):
        dense_scan(step, X, STATE, (), [torch.eye(3)])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lengths must lie between 0 and T = 4"):
        scan(step, X, STATE, lengths=torch.tensor([5, 1]))
    with pytest.raises(ValueError, match="checkpoint_every"):
        scan(step, X, STATE, checkpoint_every=0)
    with pytest.raises(ValueError, match=r"weight must be \[G \* H, H\] with H = 3, got \[4, 3\]"):
        dense_scan(step, X, STATE, (), torch.zeros(4, 3))
    for columns in (0, 4):
        with pytest.raises(ValueError, match="weight must be a matrix of 1 to H columns with H = 3"):
            dense_scan(step, X, STATE, (), torch.zeros(3, columns), pad_weights=True)
    with pytest.raises(ValueError, match="one weight for each stage"):
        dense_scan((step, step), X, STATE, (), torch.zeros(3, 3))
    for backend in ("cpu", "reference"):
        with pytest.raises(ValueError, match="state of another structure"):
            scan(lambda x, h, p: (x, (h, h)), X, STATE, backend=backend)


@pytest.mark.parametrize("name", [name for name in SURROGATES if name != "straight_round"])
def test_surrogates_step_at_zero_and_have_a_symmetric_derivative(name: str) -> None:
    v = torch.linspace(-3, 3, 601, dtype=torch.float64, requires_grad=True)
    spike = SURROGATES[name](v)
    assert torch.equal(spike.detach(), (v >= 0).double())
    (gradient,) = torch.autograd.grad(spike.sum(), v)
    if name != "leaky":
        assert gradient[300] == gradient.max() > 0
        torch.testing.assert_close(gradient, gradient.flip(0))


@pytest.mark.parametrize("name", ["fast_sigmoid", "arctan", "rectangle", "triangle", "gaussian", "sigmoid"])
def test_surrogates_that_are_densities_integrate_to_one(name: str) -> None:
    v = torch.linspace(-2000, 2000, 4_000_001, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(SURROGATES[name](v).sum(), v)
    assert math.isclose(float(gradient.sum()) * 1e-3, 1, rel_tol=2e-3)


def test_straight_bernoulli_fires_as_often_as_its_probability() -> None:
    p = torch.full((100_000,), 0.3, requires_grad=True)
    spike = surrogate.straight_bernoulli(p, torch.rand(100_000, generator=torch.Generator().manual_seed(0)))
    assert abs(float(spike.detach().mean()) - 0.3) < 0.01
    assert torch.equal(torch.autograd.grad(spike.sum(), p)[0], torch.ones_like(p))


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_anomaly_detection_ignores_the_example_values_of_a_trace() -> None:
    def step(x: Tensor, h: Tensor, params: Any) -> Any:
        h = torch.where(x > 100, torch.sqrt(x - 100), h)  # of a negative example the gradient is NaN
        return h, h

    with torch.autograd.set_detect_anomaly(True):
        y, _ = scan(step, X + 200, STATE, (), backend="cpu")
    torch.testing.assert_close(y, torch.sqrt(X + 100))
