"""The triton backend against the reference: on a GPU, or with TRITON_INTERPRET=1 on the CPU, as `test_triton.py` does.

Triton decides when it is imported whether its kernels are interpreted, hence a process and a file of their own.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bionets.layers.recurrent.brc import brc_step
from bionets.layers.recurrent.gru import gru_step
from bionets.layers.recurrent.lstm import lstm_step
from bionets.layers.recurrent.nbrc import nbrc_step
from bionets.layers.recurrent.peephole_lstm import peephole_memory_step, peephole_output_step
from bionets.scan import OnlineGradients, dense_scan, scan, surrogate
from bionets.scan.gpu import backend as triton_backend
from bionets.scan.graph import UnsupportedStepError

from .cells import CELLS, assert_close, run_cell
from .cells import OPTIONS as CELL_OPTIONS

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TIME, BATCH, WIDTH = 4, 3, 13  # more than one tile of 32 elements, the last one not full
LENGTHS = torch.tensor([4, 0, 2], device=DEVICE)
OPTIONS = [
    {"lengths": lengths, "reverse": reverse, "checkpoint_every": every}
    for lengths, reverse, every in itertools.product((None, LENGTHS), (False, True), (1, 2, 3))
]
FEW_OPTIONS = [OPTIONS[0], OPTIONS[1], OPTIONS[9], OPTIONS[11]]
Run = Callable[..., tuple[Any, Any]]


def normal(*shape: int, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(shape, device=DEVICE)).to(dtype)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def results(run: Run, leaves: list[Tensor], backend: str, options: dict[str, Any]) -> list[Tensor]:
    """y, the final state, and the gradients of all leaves that want one."""
    leaves = [leaf.detach().requires_grad_(leaf.requires_grad) for leaf in leaves]
    y, state = run(leaves, backend=backend, **options)
    outputs = [*(y if isinstance(y, tuple) else (y,)), *(state if isinstance(state, tuple) else (state,))]
    loss = sum((out.double() * torch.linspace(-1, 1, out.numel(), device=DEVICE).view_as(out)).sum() for out in outputs)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    return [*outputs, *torch.autograd.grad(loss, wanted, allow_unused=True)]


def check_agreement(run: Run, leaves: list[Tensor], tolerance: float = 2e-6, **options: Any) -> None:
    for leaf in leaves:
        if leaf.is_floating_point():
            leaf.requires_grad_()
    expected = results(run, leaves, "reference", options)
    found = results(run, leaves, "triton", options)
    for one, other in zip(found, expected, strict=True):
        if other is None:
            assert one is None or not one.any()
            continue
        scale = max(1.0, float(other.detach().abs().nan_to_num().max())) if other.numel() else 1.0
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def run_brc(leaves: list[Tensor], **options: Any) -> tuple[Any, Any]:
    return scan(brc_step, tuple(leaves[:3]), leaves[3], tuple(leaves[4:]), **options)


def brc_leaves(dtype: torch.dtype = torch.float32, time: int = TIME) -> list[Tensor]:
    projection = normal(time, BATCH, 3 * WIDTH, dtype=dtype)
    return [*projection.chunk(3, -1), normal(BATCH, WIDTH), *(normal(WIDTH) for _ in range(4))]


def run_nbrc(leaves: list[Tensor], **options: Any) -> tuple[Any, Any]:
    return dense_scan(nbrc_step, tuple(leaves[:3]), leaves[3], tuple(leaves[4:6]), leaves[6], **options)


def nbrc_leaves(width: int = WIDTH, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    x = [normal(TIME, BATCH, width, dtype=dtype) for _ in range(3)]
    weight = normal(2 * width, width, dtype=dtype, scale=width**-0.5)
    return [*x, normal(BATCH, width), normal(width), normal(width), weight]


def run_lstm(leaves: list[Tensor], **options: Any) -> tuple[Any, Any]:
    x, state, params, weights = (tuple(leaves[i:j]) for i, j in ((0, 4), (4, 8), (8, 12), (12, 14)))
    return dense_scan((peephole_memory_step, peephole_output_step), x, state, params, weights, **options)


def lstm_leaves() -> list[Tensor]:
    states, biases = [normal(BATCH, WIDTH) for _ in range(4)], [normal(WIDTH) for _ in range(4)]
    weights = [normal(blocks * WIDTH, WIDTH, scale=WIDTH**-0.5) for blocks in (4, 3)]
    return [*(normal(TIME, BATCH, WIDTH) for _ in range(4)), *states, *biases, *weights]


@pytest.mark.parametrize("options", [OPTIONS[0], *OPTIONS[3:6], *OPTIONS[9:]], ids=str)
def test_brc_agrees_with_the_reference(options: dict[str, Any]) -> None:
    check_agreement(run_brc, brc_leaves(), **options)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[11]], ids=str)
def test_other_dtypes_agree_with_the_reference(dtype: torch.dtype, options: dict[str, Any]) -> None:
    tolerance = {torch.float64: 1e-12, torch.bfloat16: 1e-2, torch.float16: 2e-3}[dtype]
    check_agreement(run_brc, brc_leaves(dtype), tolerance, **options)


@pytest.mark.parametrize("options", FEW_OPTIONS, ids=str)
@pytest.mark.parametrize("on_chip", [True, False])
def test_nbrc_agrees_with_the_reference(
    options: dict[str, Any], on_chip: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_backend, "ON_CHIP", 1 << 16 if on_chip else 0)
    check_agreement(run_nbrc, nbrc_leaves(), 5e-6, **options)


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[11]], ids=str)
@pytest.mark.parametrize("on_chip", [True, False])
def test_two_stages_agree_with_the_reference(
    options: dict[str, Any], on_chip: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_backend, "ON_CHIP", 1 << 16 if on_chip else 0)
    check_agreement(run_lstm, lstm_leaves(), 1e-5, **options)


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[11]], ids=str)
@pytest.mark.parametrize(("step", "gates", "states"), [(gru_step, 3, 1), (lstm_step, 4, 2)], ids=["GRU", "LSTM"])
def test_gru_and_lstm_agree_with_the_reference(
    step: Callable[..., Any], gates: int, states: int, options: dict[str, Any]
) -> None:
    def run(leaves: list[Tensor], **options: Any) -> tuple[Any, Any]:
        x, state, params = tuple(leaves[:gates]), tuple(leaves[gates : gates + states]), tuple(leaves[-5:-1])
        return dense_scan(step, x, state if states > 1 else state[0], params, leaves[-1], **options)

    x, state = [normal(TIME, BATCH, WIDTH) for _ in range(gates)], [normal(BATCH, WIDTH) for _ in range(states)]
    weight = normal(gates * WIDTH, WIDTH, scale=WIDTH**-0.5)
    check_agreement(run, [*x, *state, *(normal(WIDTH) for _ in range(4)), weight], 5e-6, **options)


@pytest.mark.parametrize("on_chip", [True, False])
def test_weights_of_fewer_rows_and_columns_agree_with_the_reference(
    on_chip: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_backend, "ON_CHIP", 1 << 16 if on_chip else 0)
    leaves = lstm_leaves()
    leaves[12:] = [normal(4 * WIDTH - 2, WIDTH - 3, scale=0.3), normal(3 * WIDTH, WIDTH - 1, scale=0.3)]
    check_agreement(run_lstm, leaves, 1e-5, pad_weights=True)


@pytest.mark.parametrize("on_chip", [True, False])
def test_values_past_the_end_have_no_effect_on_the_weights(on_chip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_backend, "ON_CHIP", 1 << 16 if on_chip else 0)
    leaves = lstm_leaves()
    for leaf in leaves[:4]:
        leaf[2:, 2] = math.nan
    check_agreement(run_lstm, leaves, 1e-5, lengths=LENGTHS)


def test_a_dense_scan_in_float64_agrees_with_the_reference() -> None:
    check_agreement(run_nbrc, nbrc_leaves(dtype=torch.float64), 1e-12)


def test_wide_weights_agree_with_the_reference() -> None:
    check_agreement(run_nbrc, nbrc_leaves(width=130), 1e-5)


def test_padding_of_a_row_does_not_leak_nan_into_products() -> None:
    def step(x: Tensor, recurrent: Tensor, h: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(x + recurrent) / bias  # 0 / 0 where there is only padding
        return h, h

    leaves = [normal(TIME, BATCH, WIDTH), normal(BATCH, WIDTH), 1 + normal(WIDTH).abs(), normal(WIDTH, WIDTH)]
    check_agreement(lambda l, **options: dense_scan(step, *l, **options), leaves, 1e-5)


SURROGATES = ["sigmoid", "fast_sigmoid", "super_spike", "arctan", "triangle", "rectangle", "gaussian"]
SURROGATES += ["multi_gaussian", "leaky"]


@pytest.mark.parametrize("name", SURROGATES)
def test_surrogates_agree_with_the_reference(name: str) -> None:
    spike = getattr(surrogate, name)

    def lif(x: Tensor, v: Tensor, params: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        decay, threshold = params
        v = decay * v + x
        z = spike(v - threshold)
        return z, v - z * threshold

    leaves = [normal(TIME, BATCH, WIDTH), normal(BATCH, WIDTH), torch.rand(WIDTH, device=DEVICE), 1 + normal()]
    check_agreement(lambda l, **options: scan(lif, l[0], l[1], (l[2], l[3]), **options), leaves)


def test_straight_through_functions_agree_with_the_reference() -> None:
    def step(x: tuple[Tensor, Tensor], p: Tensor, decay: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        drive, noise = x
        p = torch.sigmoid(decay * p + drive)
        return (surrogate.straight_bernoulli(p, noise), surrogate.straight_round(4 * p)), p

    leaves = [normal(TIME, BATCH, WIDTH), normal(BATCH, WIDTH), normal(WIDTH)]
    noise = torch.rand(TIME, BATCH, WIDTH, device=DEVICE)
    check_agreement(lambda l, **options: scan(step, (l[0], noise), l[1], l[2], **options), leaves)


def decay_step(x: Tensor, v: Tensor, params: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor]]:
    decay, gain = params
    (v,) = v
    v = torch.sigmoid(decay) * v + gain * x
    return v * v, (v,)


def run_decay(leaves: list[Tensor], **options: Any) -> tuple[Any, Any]:
    return scan(decay_step, leaves[0], (leaves[1],), (leaves[2], leaves[3]), **options)


@pytest.mark.parametrize("shape", [(), (1,), (2, 3, 4)])
@pytest.mark.parametrize("time", [1, 4])
def test_any_shape_agrees_with_the_reference(shape: tuple[int, ...], time: int) -> None:
    check_agreement(run_decay, [normal(time, BATCH, *shape), normal(BATCH, *shape), normal(*shape), normal()])


@pytest.mark.parametrize("time, batch", [(0, 2), (3, 0), (0, 0)])
def test_empty_sequences_and_batches_agree_with_the_reference(time: int, batch: int) -> None:
    check_agreement(run_decay, [normal(time, batch, 2), normal(batch, 2), normal(2), normal()])


def test_every_argument_may_broadcast() -> None:
    leaves = [normal(TIME, 1, 3, 1), normal(BATCH, 1, 4), normal(3, 1), normal(1, 4)]
    check_agreement(run_decay, leaves)


@pytest.mark.parametrize("view", ["batch first", "every other", "transposed", "expanded"])
def test_inputs_may_have_any_strides(view: str) -> None:
    x = {
        "batch first": lambda: normal(BATCH, TIME, WIDTH).transpose(0, 1),
        "every other": lambda: normal(2 * TIME, 2 * BATCH, WIDTH)[::2, 1::2],
        "transposed": lambda: normal(TIME, WIDTH, BATCH).transpose(1, 2),
        "expanded": lambda: normal(1, BATCH, WIDTH).expand(TIME, -1, -1),
    }[view]()
    check_agreement(run_decay, [x, normal(WIDTH, BATCH).T, normal(2 * WIDTH)[::2], normal()], reverse=True)


def test_gradients_are_computed_only_where_required() -> None:
    leaves = brc_leaves()
    wanted = [leaves[1], leaves[6]]
    for leaf in wanted:
        leaf.requires_grad_()
    expected, found = (results(run_brc, leaves, backend, {}) for backend in ("reference", "triton"))
    assert len(found) == 4
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-6, atol=2e-6)


def test_the_gradient_of_the_final_state_agrees_with_the_reference() -> None:
    expected, found = (_gradient_of_final(backend) for backend in ("reference", "triton"))
    torch.testing.assert_close(found, expected, rtol=2e-6, atol=2e-6)


def _gradient_of_final(backend: str) -> Tensor:
    torch.manual_seed(1)
    leaves = brc_leaves()
    leaves[0].requires_grad_()
    _, state = run_brc(leaves, backend=backend)
    return torch.autograd.grad(state.sum(), leaves[0])[0]


def test_same_input_gives_the_same_bits() -> None:
    leaves = [leaf.requires_grad_() for leaf in nbrc_leaves()]
    one, other = (results(run_nbrc, leaves, "triton", {}) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_online_gradients_are_those_of_the_whole_sequence() -> None:
    x = tuple(normal(TIME, BATCH, WIDTH) for _ in range(3))
    params = tuple(normal(WIDTH).requires_grad_() for _ in range(4))
    zeros = torch.zeros(BATCH, WIDTH, device=DEVICE)
    y, _ = scan(brc_step, x, zeros, params, backend="reference")
    expected = torch.autograd.grad(y.sin().sum(), params)
    online, h, losses = OnlineGradients(), zeros, []
    for start in (0, 1):
        with online:
            part = tuple(each[start : start + 1 + 2 * start] for each in x)
            y, h = scan(brc_step, part, h, params, backend="triton")
        losses.append(y.sin().sum())
    for found, gradient in zip(torch.autograd.grad(losses[0] + losses[1], params), expected, strict=True):
        torch.testing.assert_close(found, gradient)


@pytest.mark.slow
@pytest.mark.skipif(DEVICE == "cuda", reason="the cells are made on the CPU")
@pytest.mark.parametrize("option", CELL_OPTIONS)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 3e-5), (torch.float64, 1e-10), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_agrees_with_the_reference(name: str, dtype: torch.dtype, tolerance: float, option: str) -> None:
    options = CELL_OPTIONS[option]
    found, expected = (run_cell(name, backend, dtype, **options) for backend in ("triton", "reference"))
    assert_close(found, expected, tolerance)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 1e-4, -1e-4, 0.3, -0.3, 0.42, 20.0, -20.0, 100.0, -100.0, 1e10]
SPECIAL += [math.inf, -math.inf, math.nan]
UNARY = ["neg", "abs", "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sigmoid", "atan", "erf", "round"]
UNARY += ["floor", "ceil", "trunc", "relu", "sign", "square"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", UNARY)
def test_functions_agree_with_torch_at_special_values(name: str, dtype: torch.dtype) -> None:
    x = torch.cat([torch.tensor(SPECIAL, dtype=dtype), 3 * torch.randn(40, dtype=dtype)]).to(DEVICE)
    if name in ("sin", "cos"):
        x = x.clamp(-100, 100)
    function = getattr(torch, name)
    y, _ = scan(lambda x, s, _: (function(x), s), x.view(1, 1, -1), torch.zeros_like(x).view(1, -1), backend="triton")
    tolerance = 1e-6 if dtype == torch.float32 else 4e-15
    torch.testing.assert_close(y.flatten(), function(x), rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("function", [torch.maximum, torch.minimum, torch.pow, torch.div, torch.lt, torch.ne])
def test_functions_of_two_arguments_agree_with_torch_at_special_values(function: Callable[..., Tensor]) -> None:
    a, b = torch.cartesian_prod(*2 * [torch.tensor([*SPECIAL, 3.0, -3.0], device=DEVICE)]).T

    def step(x: tuple[Tensor, Tensor], s: Tensor, _: Any) -> tuple[Tensor, Tensor]:
        return function(*x).to(s.dtype), s

    y, _ = scan(step, (a.view(1, 1, -1), b.view(1, 1, -1)), torch.zeros(1, 1, device=DEVICE), backend="triton")
    torch.testing.assert_close(y.flatten(), function(a, b).to(y.dtype), rtol=1e-6, atol=0, equal_nan=True)


def test_the_error_of_a_power_in_float64_is_bounded_by_its_logarithm() -> None:
    a = torch.linspace(1.01, 3, 50, dtype=torch.float64, device=DEVICE).view(1, 1, -1)
    b = torch.linspace(50, 600, 50, dtype=torch.float64, device=DEVICE).view(1, 1, -1)
    y, _ = scan(lambda x, s, _: (torch.pow(*x), s), (a, b), torch.zeros_like(a[0]), backend="triton")
    bound = (2 + b * a.log()) * torch.finfo(torch.float64).eps
    assert ((y / torch.pow(a, b) - 1).abs() <= bound).all()


ODD = ["neg", "round", "floor", "trunc", "sin", "tan", "asin", "atan", "sinh", "asinh", "atanh", "log1p", "erf"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ODD)
def test_results_of_zero_have_the_sign_of_torch(name: str, dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, -0.0, 0.4, -0.4], dtype=dtype, device=DEVICE).view(1, 1, 4)
    function = getattr(torch, name)

    def step(x: Tensor, s: Tensor, _: Any) -> tuple[Tensor, Tensor]:
        return torch.atan2(function(x), torch.full_like(x, -0.0)), s

    y, _ = scan(step, x, torch.zeros_like(x[0]), backend="triton")
    torch.testing.assert_close(y, torch.atan2(function(x), torch.full_like(x, -0.0)), rtol=1e-6, atol=0)


def test_hypot_neither_overflows_nor_underflows() -> None:
    numbers = [0.0, 3e-250, 1e-200, 1e-3, 2.0, 1e154, 3e200, 1e307, math.inf, math.nan]
    a, b = torch.cartesian_prod(*2 * [torch.tensor(numbers, dtype=torch.float64, device=DEVICE)]).T
    x = (a.view(1, 1, -1), -b.view(1, 1, -1))
    y, _ = scan(lambda x, s, _: (torch.hypot(*x), s), x, torch.zeros_like(x[0][0]), backend="triton")
    torch.testing.assert_close(y.flatten(), torch.hypot(a, b), rtol=1e-15, atol=0, equal_nan=True)


def test_clamp_propagates_nan() -> None:
    x = torch.tensor([math.nan, 2.0, -2.0], device=DEVICE).view(1, 1, 3)
    y, _ = scan(lambda x, s, _: (x.clamp(-1, 1), s), x, torch.zeros(1, 3, device=DEVICE), backend="triton")
    torch.testing.assert_close(y, x.clamp(-1, 1), equal_nan=True)


BOUNDED: list[Callable[..., Tensor]] = [torch.tanh, torch.sigmoid, torch.sin, torch.atan, torch.erf]
BINARY: list[Callable[..., Tensor]] = [torch.add, torch.sub, torch.mul, torch.maximum, torch.minimum]


@settings(max_examples=12, deadline=None, derandomize=True)
@given(st.data())
def test_random_steps_agree_with_the_reference(data: st.DataObject) -> None:
    states = data.draw(st.integers(1, 3))
    size = data.draw(st.integers(2, 8))
    recipe = [
        (data.draw(st.sampled_from(BOUNDED)), data.draw(st.sampled_from(BINARY)), *data.draw(st.tuples(_PICK, _PICK)))
        for _ in range(size)
    ]
    picks = data.draw(st.lists(_PICK, min_size=states + 1, max_size=states + 1))

    def step(x: Tensor, state: tuple[Tensor, ...], params: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        values = [x, *state, *params]
        for bounded, binary, i, j in recipe:
            values.append(bounded(binary(values[i % len(values)], values[j % len(values)])))
        y, *new_state = (values[-1 - pick % size] for pick in picks)
        return y, tuple(new_state)

    leaves = [normal(3, 2, 5), *(normal(2, 5) for _ in range(states)), normal(5), normal()]
    options = data.draw(st.sampled_from([OPTIONS[0], OPTIONS[1], OPTIONS[3]]))
    check_agreement(
        lambda l, **options: scan(step, l[0], tuple(l[1:-2]), tuple(l[-2:]), **options), leaves, 1e-5, **options
    )


_PICK = st.integers(0, 30)


def test_delays_are_refused() -> None:
    def step(x: Tensor, recurrent: Tensor, h: Tensor, _: Any) -> Any:
        h = torch.tanh(x + recurrent)
        return h, h

    x, h, weight, lags = normal(TIME, BATCH, WIDTH), normal(BATCH, WIDTH), normal(WIDTH, WIDTH), normal(2, WIDTH)
    with pytest.raises(UnsupportedStepError, match="the triton backend has no delays"):
        dense_scan(step, x, h, (), weight, lags=lags, backend="triton")
