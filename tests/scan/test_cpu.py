"""The CPU backend against the reference: cell × dtype × surrogate × options."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from bionets.scan import dense_scan, scan

from .cells import CELLS, OPTIONS, RAGGED, SURROGATES, assert_close, brc, nbrc, run_cell

TOLERANCE = {torch.float32: 3e-5, torch.float64: 1e-10, torch.bfloat16: 2e-2, torch.float16: 3e-3}
DTYPES = list(TOLERANCE)

SMALL_WALK = [
    *(("brc", torch.float32, option) for option in OPTIONS),
    *(("lif", torch.float32, option) for option in ("plain", "checkpoints, lengths, reverse")),
    *(("nbrc", torch.float32, option) for option in ("plain", "reverse", "checkpoints, lengths, reverse")),
    *(("peephole_lstm", torch.float32, option) for option in ("plain", "checkpoints, lengths, reverse")),
    *((name, torch.float32, "plain") for name in ("named", "recurrent_spiking", *SURROGATES)),
    ("brc", torch.float64, "plain"),
    ("nbrc", torch.float64, "plain"),
    ("brc", torch.bfloat16, "plain"),
    ("nbrc", torch.float16, "plain"),
]
WHOLE_WALK = [(name, dtype, option) for name in CELLS for dtype in DTYPES for option in OPTIONS]


def walk(name: str, dtype: torch.dtype, option: str) -> None:
    options = OPTIONS[option]
    found = run_cell(name, "cpu", dtype, **options)
    assert_close(found, run_cell(name, "reference", dtype, **options), TOLERANCE[dtype])


@pytest.mark.parametrize(("name", "dtype", "option"), SMALL_WALK)
def test_agrees_with_the_reference(name: str, dtype: torch.dtype, option: str) -> None:
    walk(name, dtype, option)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype", "option"), [case for case in WHOLE_WALK if case not in SMALL_WALK])
def test_agrees_with_the_reference_for_all_cells_dtypes_and_options(name: str, dtype: torch.dtype, option: str) -> None:
    walk(name, dtype, option)


@pytest.mark.parametrize("name", ["brc", "nbrc"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    from .cells import leaves_of

    leaves = leaves_of(name, torch.float64)
    call = CELLS[name].call
    assert torch.autograd.gradcheck(lambda *each: call(*each, backend="cpu"), leaves)


@pytest.mark.parametrize("name", ["brc", "nbrc"])
def test_same_input_gives_same_bits(name: str) -> None:
    torch.manual_seed(0)
    first, second = run_cell(name, "cpu"), run_cell(name, "cpu")
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("width", [1, 17, 70])  # less than a vector, one and a little more, more than a strip
def test_a_dense_scan_of_any_width_agrees_with_the_reference(width: int) -> None:
    def step(x, recurrent, h, bias):  # type: ignore[no-untyped-def]
        h = torch.sigmoid(x[0] + recurrent[0]) * torch.tanh(x[1] + recurrent[1] + bias) + recurrent[2]
        return h, h

    generator = torch.Generator().manual_seed(width)
    shapes = ((4, 7, 2, width), (7, width), (width,), (3 * width, width))
    leaves = [(torch.randn(shape, generator=generator) / width**0.5).requires_grad_() for shape in shapes]
    results = []
    for backend in ("cpu", "reference"):
        x, h, bias, weight = leaves
        y, last = dense_scan(step, x.unbind(2), h, bias, weight, backend=backend)
        results.append((y, last, *torch.autograd.grad(y.square().sum() + last.sum(), leaves)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "options", [{}, {"checkpoint_every": 3}, {"lengths": torch.tensor([7, 0, 4]), "reverse": True}]
)
@pytest.mark.parametrize(
    ("width", "first", "second"),
    [
        (5, (10, 5), (5, 5)),  # nothing is missing
        (20, (40, 15), (15, 20)),  # columns; rows of the only block
        (20, (33, 3), (20, 19)),  # both, in the last block
        (9, (18, 8), (1, 9)),
    ],
)
def test_weights_of_fewer_rows_and_columns_are_padded_with_zeros(
    width: int, first: tuple[int, int], second: tuple[int, int], options: dict[str, object]
) -> None:
    """Results and gradients equal those of weights padded with zeros."""

    def open_gates(x, recurrent, h, bias):  # type: ignore[no-untyped-def]
        return None, (torch.sigmoid(x + recurrent[0] + bias), torch.tanh(recurrent[1]) + h)

    def output(x, recurrent, state, bias):  # type: ignore[no-untyped-def]
        gate, h = state
        h = gate * torch.tanh(recurrent) + (1 - gate) * h
        return h, h

    def run(backend: str) -> tuple[torch.Tensor, ...]:
        generator = torch.Generator().manual_seed(0)
        shapes = ((7, 3, width), (3, width), (width,), first, second)
        leaves = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]
        x, h, bias, *weights = leaves
        if backend == "padded by hand":
            for number, blocks in enumerate((2, 1)):
                whole = torch.zeros(blocks * width, width, dtype=torch.float64)
                rows, columns = weights[number].shape
                whole[:rows, :columns] = weights[number]
                weights[number] = whole
            options_here = options | {"backend": "reference"}
        else:
            options_here = options | {"backend": backend, "pad_weights": True}
        y, last = dense_scan((open_gates, output), x, h, bias, tuple(weights), **options_here)
        return (y, last, *torch.autograd.grad(y.square().sum() + last.sum(), leaves))

    expected = run("padded by hand")
    torch.testing.assert_close(run("cpu"), expected)
    torch.testing.assert_close(run("reference"), expected)


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    x, h = torch.randn(40, 33, 3, 70), torch.randn(33, 70)
    w = torch.randn(70)

    def run() -> list[torch.Tensor]:
        leaves = [leaf.clone().requires_grad_() for leaf in (x, h, w)]
        y, _ = scan(brc, leaves[0].unbind(2), leaves[1], (leaves[2], leaves[2]), backend="cpu")
        return [y, *torch.autograd.grad(y.square().sum(), leaves)]

    threads = torch.get_num_threads()
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(run())
    torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize(("batch", "width"), [(1, 100_001), (70_000, 1), (3, 77_777)])
@pytest.mark.parametrize("count", [1, 2])
def test_bits_of_the_gradients_of_numbers_do_not_depend_on_the_number_of_threads(
    count: int, batch: int, width: int
) -> None:
    def step(x: Tensor, v: Tensor, params: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        for decay in params:
            v = decay * v + x
        return v, v

    x = torch.randn(2, batch, width, generator=torch.Generator().manual_seed(0))
    params = tuple(torch.tensor(0.9, requires_grad=True) for _ in range(count))
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3, 4):
            torch.set_num_threads(number)
            y, _ = scan(step, x, torch.zeros(batch, width), params, backend="cpu")
            found.append(torch.autograd.grad(y, params, x))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize("time", [0, 1])
@pytest.mark.parametrize("batch", [0, 2])
def test_empty_and_single_step_sequences_agree_with_the_reference(time: int, batch: int) -> None:
    for run in (
        lambda x, h, w, backend: scan(brc, x, h, (w[0], w[1]), backend=backend),
        lambda x, h, w, backend: dense_scan(nbrc, x, h, (), w[:8], backend=backend),
    ):
        x = tuple(torch.randn(time, batch, 4) for _ in range(3))
        h, w = torch.randn(batch, 4, requires_grad=True), torch.randn(9, 4, requires_grad=True)
        found, expected = run(x, h, w, "cpu"), run(x, h, w, "reference")
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b)
        assert found[0].shape == (time, batch, 4)
        found[1].sum().backward()
        assert h.grad is not None


def test_strided_and_broadcast_inputs_agree_with_the_reference() -> None:
    base = torch.randn(3, 4, 7, 6, 2)
    x = (base[0].permute(1, 0, 2, 3)[..., 0], base[1, :, :, :, 1].transpose(0, 1), torch.randn(7, 1, 6))
    h, wide, w = torch.zeros(()), torch.randn(1, requires_grad=True), torch.randn(6)
    found = scan(brc, x, h, (wide, w), backend="cpu")
    expected = scan(brc, x, h, (wide, w), backend="reference")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    (gradient,), (other,) = (torch.autograd.grad(y.square().sum(), wide) for y in (found[0], expected[0]))
    torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-4)


def test_nan_and_infinity_pass_through() -> None:
    def step(x, v, params):  # type: ignore[no-untyped-def]
        v = torch.relu(v + x).clamp(max=5)
        y = torch.maximum(torch.tanh(x), torch.sigmoid(x)) + torch.exp(-x) + torch.minimum(v, x)
        return (y, torch.where(x > 0, v, x), torch.log1p(x), torch.sign(x)), v

    special = [float("nan"), float("inf"), float("-inf"), 0.0, -1.0, 1e-30, 88.8, -104.0, 1e30]
    x = torch.tensor(special).expand(4, 2, -1)
    found, expected = (scan(step, x, torch.zeros(2, 9), backend=backend) for backend in ("cpu", "reference"))
    torch.testing.assert_close(found, expected, equal_nan=True, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_values_past_the_end_of_a_sequence_have_no_effect(value: float, backend: str) -> None:
    x = torch.randn(9, 3, 3, 5)
    for row, length in enumerate(RAGGED):
        x[length:, row] = value
    x.requires_grad_()
    w = torch.ones(5, requires_grad=True)
    y, h = scan(brc, x.unbind(2), torch.zeros(3, 5), (w, w), lengths=RAGGED, backend=backend)
    gradients = torch.autograd.grad(y.sum() + h.sum(), (x, w))
    assert all(torch.isfinite(leaf).all() for leaf in (y, h, *gradients))


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(
    ("value", "backend"),
    [
        (torch.inf, "reference"),
        (torch.nan, "reference"),
        (torch.inf, "cpu"),
        (torch.nan, "cpu"),
        (1e3, "cpu"),  # overflows; here the reference backend computes 0 · inf
    ],
)
def test_values_past_the_end_have_no_effect_on_the_weights_of_several_stages(
    value: float, every: int, backend: str
) -> None:
    def first(x: Tensor, recurrent: Tensor, h: Tensor, params: Any) -> tuple[None, tuple[Tensor, Tensor]]:
        return None, (torch.exp(x + recurrent), h)

    def second(x: Tensor, recurrent: Tensor, state: tuple[Tensor, Tensor], params: Any) -> tuple[Tensor, Tensor]:
        h = torch.tanh(state[1] + recurrent)
        return h, h

    x = torch.randn(9, 3, 5)
    for row, length in enumerate(RAGGED):
        x[length:, row] = value
    weights = tuple(torch.eye(5, requires_grad=True) for _ in range(2))
    options = {"lengths": RAGGED, "checkpoint_every": every, "backend": backend}
    y, h = dense_scan((first, second), x, torch.zeros(3, 5), (), weights, **options)
    found = torch.autograd.grad(y.sum() + h.sum(), weights)
    cut = x.masked_fill(torch.arange(9)[:, None, None] >= RAGGED[:, None], 0.0)
    y, h = dense_scan((first, second), cut, torch.zeros(3, 5), (), weights, lengths=RAGGED, backend="reference")
    torch.testing.assert_close(found, torch.autograd.grad(y.sum() + h.sum(), weights))


@pytest.mark.parametrize("threads", [1, 2])
def test_denormals_are_flushed_only_inside_kernels(threads: int) -> None:
    def decay(x, v, params):  # type: ignore[no-untyped-def]
        v = v * params + x
        return v, v

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    x = torch.zeros(10_000, 2, 1024, requires_grad=True)
    y, v = scan(decay, x, torch.ones(2, 1024), torch.tensor(0.9), backend="cpu")
    (gradient,) = torch.autograd.grad(v.sum(), x)
    smallest = torch.finfo(torch.float32).tiny
    for decayed in (y.detach(), gradient):
        assert decayed.max() > 0.8
        assert not ((decayed > 0) & (decayed < smallest)).any()
    assert (torch.full((1 << 18,), 1e-40) * 0.5 > 0).all()  # on all of torch's threads, which ran the kernels too
    torch.set_num_threads(before)


def test_second_derivatives_are_refused_by_name() -> None:
    x = torch.randn(4, 2, 3, requires_grad=True)
    y, _ = scan(lambda x, h, p: (torch.tanh(x + h),) * 2, x, torch.zeros(2, 3), backend="cpu")
    (gradient,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="backend='reference'"):
        gradient.sum().backward()


def test_gradients_are_computed_only_where_required() -> None:
    x = torch.randn(4, 2, 3)
    with torch.no_grad():
        y, _ = scan(lambda x, h, p: (torch.tanh(x + h),) * 2, x, torch.zeros(2, 3), backend="cpu")
    assert not y.requires_grad
    h = torch.zeros(2, 3, requires_grad=True)
    y, last = scan(lambda x, h, p: (torch.tanh(x + h),) * 2, x, h, backend="cpu")
    torch.testing.assert_close(*(torch.autograd.grad(z.sum(), h, retain_graph=True)[0] for z in (y[-1], last)))


def test_an_unknown_backend_is_refused() -> None:
    x = torch.randn(4, 2, 3)
    with pytest.raises(ValueError, match="unknown backend 'cuda'"):
        scan(lambda x, h, p: (x, h), x, torch.zeros(2, 3), backend="cuda")


def test_checkpoints_stay_within_their_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    fences = []

    def fenced(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        size = math.prod(shape)
        memory = torch.full((size + 64,), 7.0, dtype=dtype)
        fences.append(memory[size:])
        return memory[:size].view(shape)

    def step(x: torch.Tensor, h: torch.Tensor, params: tuple[()]) -> tuple[torch.Tensor, torch.Tensor]:
        h = 0.5 * h + x
        return 2 * h, h * h

    monkeypatch.setattr("bionets.scan.cpu.backend.empty", fenced)
    x = torch.randn(4, 3, 5, requires_grad=True)
    y, _ = scan(step, x, torch.zeros(3, 5), checkpoint_every=2, backend="cpu")
    y.sum().backward()
    assert fences
    assert all((fence == 7).all() for fence in fences)


def test_parameters_may_be_strided() -> None:
    def step(x: torch.Tensor, h: torch.Tensor, decay: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = decay * h + x
        return h, h

    x, decay = torch.randn(4, 3, 5), torch.rand(10)[::2]
    found, expected = (scan(step, x, torch.zeros(3, 5), decay, backend=name)[0] for name in ("cpu", "reference"))
    assert torch.allclose(found, expected)


@pytest.mark.parametrize(
    "options", [{}, {"checkpoint_every": 3}, {"lengths": torch.tensor([7, 0, 4])}, {"reverse": True}]
)
@pytest.mark.parametrize("first_too", [False, True])
def test_states_that_stages_pass_on_unchanged_agree_with_the_reference(
    first_too: bool, options: dict[str, object]
) -> None:
    """Such states and gradients share memory between stages, also if one gradient belongs to two states."""

    def first(x, recurrent, state, params):  # type: ignore[no-untyped-def]
        a, b, c = state
        return None, (b, a + c, torch.tanh(x + recurrent))

    def second(x, recurrent, state, params):  # type: ignore[no-untyped-def]
        a, b, c = state
        return None, (torch.tanh(b + c + recurrent), a, c) if first_too else (torch.tanh(c + recurrent), a + b, c)

    def third(x, recurrent, state, params):  # type: ignore[no-untyped-def]
        a, b, c = state
        return a * recurrent, (a, torch.sin(b), c)

    generator = torch.Generator().manual_seed(0)

    def run(backend: str) -> tuple[torch.Tensor, ...]:
        generator.manual_seed(0)
        leaves = [
            torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
            for shape in ((7, 3, 5), *((3, 5),) * 3, *((5, 5),) * 3)
        ]
        x, *rest = leaves
        y, state = dense_scan(
            (first, second, third), x, tuple(rest[:3]), (), tuple(rest[3:]), backend=backend, **options
        )
        total = y.square().sum() + sum((number + 1) * leaf.sum() for number, leaf in enumerate(state))
        return (y, *state, *torch.autograd.grad(total, leaves))

    torch.testing.assert_close(run("cpu"), run("reference"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_rounded_sigmoid_equals_that_of_torch_at_the_threshold(dtype: torch.dtype) -> None:
    edge = 0.75 * torch.finfo(dtype).eps
    around = torch.tensor([edge], dtype=dtype)
    below, above = (torch.nextafter(around, torch.tensor(float(end), dtype=dtype)) for end in ("-inf", "inf"))
    special = torch.tensor([0.0, -0.0, 1e-30, -1e-30, 3.0, -3.0, math.inf, -math.inf, math.nan], dtype=dtype)
    x = torch.cat([below, around, above, -above, special]).view(1, 1, -1)

    def step(x, state, params):  # type: ignore[no-untyped-def]
        return torch.round(torch.sigmoid(x)), state

    y, _ = scan(step, x, torch.zeros_like(x[0]), backend="cpu")
    assert torch.equal(y.nan_to_num(-1), torch.round(torch.sigmoid(x)).nan_to_num(-1))
    assert y.flatten()[:3].tolist() == [0, 0, 1]


@pytest.mark.parametrize("options", [{}, {"lengths": torch.tensor([7, 0, 4])}, {"checkpoint_every": 3}])
@pytest.mark.parametrize("uses", ["later x", "no x", "one x of two"])
def test_inputs_that_only_some_stages_use_agree_with_the_reference(uses: str, options: dict[str, object]) -> None:
    def first(x, recurrent, state, params):  # type: ignore[no-untyped-def]
        a, b = state
        return None, (torch.tanh(a + recurrent), b) if uses == "later x" else (a, b)

    def second(x, recurrent, state, params):  # type: ignore[no-untyped-def]
        a, b = state
        if uses == "later x":
            return a, (torch.tanh(a + recurrent + x[0]), b + x[1])
        return a, (b, a) if uses == "no x" else (b + x[0], a)

    def run(backend: str) -> tuple[torch.Tensor, ...]:
        generator = torch.Generator().manual_seed(0)
        leaves = [
            torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
            for shape in ((7, 3, 5), (7, 3, 5), (3, 5), (3, 5), (5, 5), (5, 5))
        ]
        x0, x1, a, b, *weights = leaves
        y, state = dense_scan((first, second), (x0, x1), (a, b), (), tuple(weights), backend=backend, **options)
        total = y.square().sum() + state[0].sum() + 2 * state[1].sum()
        gradients = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
        return (y, *state, *gradients)

    torch.testing.assert_close(run("cpu"), run("reference"))


def test_the_default_device_does_not_change_a_scan() -> None:
    x = torch.randn(4, 2, 3, requires_grad=True)
    weight, state, step = torch.eye(3), torch.zeros(2, 3), lambda x, r, h, p: (torch.tanh(x + r),) * 2
    with torch.device("meta"):
        y, _ = dense_scan(step, x, state, (), weight, backend="cpu")
        (gradient,) = torch.autograd.grad(y, x, y.detach())
    assert y.device.type == gradient.device.type == "cpu"
    assert torch.isfinite(gradient).all()
