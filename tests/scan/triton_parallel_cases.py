"""Linear recurrences at many time steps at once, against the reference: see `triton_cases` for where this runs."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bionets.layers.recurrent.lru import lru_step
from bionets.layers.recurrent.minimal_gated import min_gru_step, min_lstm_step
from bionets.layers.spiking import LI, SLI
from bionets.scan import OnlineGradients, scan
from bionets.scan.gpu import parallel

from .triton_cases import DEVICE, check_agreement, normal

TIME, BATCH, WIDTH = 19, 3, 13  # chunks of four steps, the last one not full, as is the second tile of elements
LENGTHS = torch.tensor([TIME, 0, 6], device=DEVICE)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"reverse": True},
    {"lengths": LENGTHS},
    {"lengths": LENGTHS, "reverse": True, "checkpoint_every": 5},
]


@pytest.fixture(autouse=True, params=[1, 100], ids=["segments", "one segment"])
def _small_chunks(request: pytest.FixtureRequest) -> Iterator[None]:
    torch.manual_seed(0)
    with _chunks(request.param):
        yield


def _chunks(of_a_segment: int) -> Any:
    return patch.multiple(parallel, CHUNK=4, CHUNKS=of_a_segment, LONG=1)


def drive(count: int, dtype: torch.dtype = torch.float32, time: int = TIME) -> list[Tensor]:
    return [normal(time, BATCH, WIDTH, dtype=dtype) for _ in range(count)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_min_gru_agrees_with_the_reference(options: dict[str, Any]) -> None:
    leaves = [*drive(2), normal(BATCH, WIDTH)]
    check_agreement(lambda l, **o: scan(min_gru_step, (l[0], l[1]), l[2], (), **o), leaves, **options)


def test_min_lstm_agrees_with_the_reference() -> None:
    leaves = [*drive(3), normal(BATCH, WIDTH)]
    check_agreement(lambda l, **o: scan(min_lstm_step, tuple(l[:3]), l[3], (), **o), leaves)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_complex_recurrences_agree_with_the_reference(options: dict[str, Any]) -> None:
    radius, angle = torch.rand(WIDTH, device=DEVICE), 3 * normal(WIDTH)
    leaves = [*drive(2), normal(BATCH, WIDTH), normal(BATCH, WIDTH), radius * angle.cos(), radius * angle.sin()]
    run = lambda l, **o: scan(lru_step, (l[0], l[1]), (l[2], l[3]), (l[4], l[5]), **o)  # noqa: E731
    check_agreement(run, leaves, 5e-6, **options)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.bfloat16, 1e-2)])
def test_other_dtypes_agree_with_the_reference(dtype: torch.dtype, tolerance: float) -> None:
    leaves = [*drive(2, dtype), normal(BATCH, WIDTH, dtype=torch.promote_types(dtype, torch.float32))]
    check_agreement(lambda l, **o: scan(min_gru_step, (l[0], l[1]), l[2], (), **o), leaves, tolerance)


@pytest.mark.parametrize("layer", [LI, SLI])
def test_leaky_integrators_agree_with_the_reference(layer: type[LI] | type[SLI]) -> None:
    own = layer(WIDTH, **{name: torch.rand(WIDTH) for name in ("alpha", "beta")[layer is LI :]}).to(DEVICE)
    x = drive(1)[0].requires_grad_()
    found = []
    for backend in ("triton", "reference"):
        y, _ = own.over_time(x, backend=backend)
        found.append([y, *torch.autograd.grad(y.square().sum(), [x, *own.parameters()])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def growing_step(x: Tensor, s: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    s = factor * s + x
    return 2 * s, s


@pytest.mark.parametrize("start", [0.0, 1e-3, float("inf"), float("nan")])
def test_factors_whose_product_overflows_agree_with_the_reference(start: float) -> None:
    """The state stays finite until the third step from the end; the product of all factors would not."""
    x = torch.zeros(TIME, BATCH, WIDTH, device=DEVICE)
    x[TIME - 3, 0] = 1e-3
    state, factor = torch.zeros(BATCH, WIDTH, device=DEVICE), torch.full((WIDTH,), 1e9, device=DEVICE)
    state[1, 3] = start
    check_agreement(lambda l, **o: scan(growing_step, l[0], l[1], l[2], **o), [x, state, factor])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_reset_discards_a_state_that_is_not_finite(value: float) -> None:
    def step(x: tuple[Tensor, Tensor], s: Tensor, _: Any) -> tuple[Tensor, Tensor]:
        s = x[1] * s + x[0]
        return s, s

    reset = torch.zeros(TIME, BATCH, dtype=torch.bool, device=DEVICE)
    reset[9, :2] = reset[13] = True
    x, factor = drive(2)
    x[2, 0, 3], factor[11, 1, 4] = value, value  # in the state before a reset, and in the gradient after one
    run = lambda l, **o: scan(step, (l[0], l[1]), l[2], reset=reset, reset_to=0.5, **o)  # noqa: E731
    check_agreement(run, [x, factor, normal(BATCH, WIDTH)])


def test_online_gradients_agree_with_the_reference() -> None:
    x, found = drive(1)[0], []
    factor = torch.rand(WIDTH, device=DEVICE, requires_grad=True)
    for backend in ("triton", "reference"):
        with OnlineGradients():
            y, _ = scan(growing_step, x, torch.zeros(BATCH, WIDTH, device=DEVICE), factor, backend=backend)
        found.append(torch.autograd.grad(y.sin().sum(), factor)[0])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("time", [1, 2, 4, 5])
def test_short_sequences_agree_with_the_reference(time: int) -> None:
    leaves = [*drive(2, time=time), normal(BATCH, WIDTH)]
    check_agreement(lambda l, **o: scan(min_gru_step, (l[0], l[1]), l[2], (), **o), leaves)


def test_a_single_required_gradient_agrees_with_the_reference() -> None:
    x, state, factor = drive(1)[0], normal(BATCH, WIDTH), torch.rand(WIDTH, device=DEVICE, requires_grad=True)
    found = [
        torch.autograd.grad(scan(growing_step, x, state, factor, backend=backend)[0].sum(), factor)[0]
        for backend in ("triton", "reference")
    ]
    torch.testing.assert_close(*found, rtol=2e-6, atol=2e-6)


def test_same_input_gives_the_same_bits() -> None:
    x, state, factor = drive(1)[0], normal(BATCH, WIDTH), torch.rand(WIDTH, device=DEVICE, requires_grad=True)
    one, other = (
        torch.autograd.grad(scan(growing_step, x, state, factor, backend="triton")[0].sum(), factor)[0]
        for _ in range(2)
    )
    assert torch.equal(one, other)


@settings(max_examples=4, deadline=None, derandomize=True)
@given(st.data())
def test_random_linear_steps_agree_with_the_reference(data: st.DataObject) -> None:
    factors = data.draw(st.lists(st.sampled_from(["sigmoid", "param", "half", "zero"]), min_size=4, max_size=4))
    output = data.draw(st.sampled_from(["new", "old", "both"]))
    segments = data.draw(st.sampled_from([1, 100]))

    def step(x: Tensor, state: tuple[Tensor, Tensor], param: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        choice = {"sigmoid": 0.7 * torch.sigmoid(x), "param": torch.tanh(param), "half": 0.5, "zero": 0.0}
        a, b, c, d = (choice[name] for name in factors)
        one, two = state
        new = (a * one + b * two + x, d * two - c * one + x * x)
        y = {"new": new[0] * new[1], "old": one - two * x, "both": torch.tanh(one) + new[1]}[output]
        return y, new

    leaves = [normal(9, 2, 5), normal(2, 5), normal(2, 5), normal(5)]
    options = data.draw(st.sampled_from([{}, {"reverse": True}, {"checkpoint_every": 3}]))
    with _chunks(segments):
        check_agreement(lambda l, **o: scan(step, l[0], (l[1], l[2]), l[3], **o), leaves, 1e-5, **options)


def test_a_long_sequence_of_few_elements_is_computed_in_parallel() -> None:
    x, z, state = (torch.zeros(*shape, device=DEVICE) for shape in ((TIME, 1, 2), (TIME, 1, 2), (1, 2)))
    with patch("bionets.scan.gpu.backend.parallel_forward") as used:
        scan(min_gru_step, (x, z), state, (), backend="triton")
        assert used.call_count == 1
        with patch.object(parallel, "LONG", TIME + 1):
            scan(min_gru_step, (x, z), state, (), backend="triton")
        with patch.object(parallel, "FEW", 1):
            scan(min_gru_step, (x, z), state, (), backend="triton")
        assert used.call_count == 1
