"""Online gradients: those of backpropagation through time, or of e-prop, in chunks of any length."""

import ctypes
import gc
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from threading import Thread
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from bionets import layers
from bionets.layers import NBRC, StatefulRecurrent, reset_states, spiking, unroll
from bionets.layers.recurrent.nbrc import nbrc_step
from bionets.layers.spiking import LI, LIB, FullyRecurrent, Izhikevich, SpikingLayer
from bionets.scan import OnlineGradients, scan

T, B, INPUTS, UNITS = 12, 3, 4, 5
NOT_LAYERS = {"SpikingLayer", "LeakyIntegrator"}
NEURONS = sorted(
    name
    for name in spiking.__all__
    if isinstance(getattr(spiking, name), type) and issubclass(getattr(spiking, name), SpikingLayer)
)
CELLS = ["BRC", "MinGRU", "MinLSTM", "LRU", "UnICORNN", "SRC"]


@pytest.fixture(autouse=True)
def _in_float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def neurons(name: str, backend: str = "auto") -> nn.Module:
    """A spiking layer behind a linear one, with smooth or deterministic spikes and a gradient to all parameters."""
    layer = getattr(spiking, name)
    learned = {f"learn_{each}": True for each in "abcd"} if layer is Izhikevich else {}
    try:
        return nn.Sequential(nn.Linear(INPUTS, UNITS), layer(UNITS, quant_fn="identity", backend=backend, **learned))
    except TypeError:  # no spikes
        return nn.Sequential(nn.Linear(INPUTS, UNITS), layer(UNITS, backend=backend))


def cell(name: str, backend: str = "auto") -> nn.Module:
    return StatefulRecurrent(getattr(layers, name)(INPUTS, UNITS, backend=backend))


def loss(y: Tensor, start: int = 0) -> Tensor:
    """A loss at every step, of which each weighs otherwise."""
    weights = torch.sin(torch.arange(start, start + len(y), dtype=y.dtype)).view(-1, 1, 1)
    return (weights * (y + y.pow(2))).sum()


def inputs(scale: float = 2.0) -> Tensor:
    return scale * torch.randn(T, B, INPUTS, generator=torch.Generator().manual_seed(0))


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad()
    return found


def through_time(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    reset_states(model)
    loss(unroll(model, x)).backward()
    return gradients(model)


def in_chunks(model: nn.Module, x: Tensor, lengths: Sequence[int], rule: str = "exact") -> dict[str, Tensor]:
    reset_states(model)
    online, start = OnlineGradients(rule), 0
    for length in lengths:
        with online:
            y = unroll(model, x[start : start + length])
        loss(y, start).backward()
        start += length
    return gradients(model)


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-6) -> None:
    assert found.keys() == expected.keys() != set()
    for name, gradient in expected.items():
        error = float((found[name] - gradient).norm() / gradient.norm().clamp_min(1e-300))
        assert error < tolerance, f"{name}: relative error {error}"


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("name", [name for name in NEURONS if name not in NOT_LAYERS])
def test_neurons_have_the_gradients_of_backpropagation_through_time(name: str, backend: str) -> None:
    torch.manual_seed(0)
    model = neurons(name, backend)
    expected = through_time(model, inputs())
    assert any(gradient.abs().sum() > 0 for gradient in expected.values())
    assert_equal(in_chunks(model, inputs(), (1, 4, 7)), expected)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("name", CELLS)
def test_cells_have_the_gradients_of_backpropagation_through_time(name: str, backend: str) -> None:
    torch.manual_seed(0)
    model = cell(name, backend)
    expected = through_time(model, inputs(20.0))
    assert any(gradient.abs().sum() > 0 for gradient in expected.values())
    assert_equal(in_chunks(model, inputs(20.0), (1, 4, 7)), expected)


@settings(max_examples=15)
@given(cuts=st.sets(st.integers(1, T - 1)))
def test_chunks_may_have_any_lengths(cuts: set[int]) -> None:
    torch.manual_seed(0)
    model = neurons("SRLITS")
    ends = [0, *sorted(cuts), T]
    lengths = [b - a for a, b in pairwise(ends)]
    assert_equal(in_chunks(model, inputs(), lengths), through_time(model, inputs()))


def leaky_step(x: Tensor, state: tuple[Tensor, Tensor], params: Any) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    current, mem = state
    mem = params["beta"] * mem + current + torch.tanh(mem * params["gain"])
    return mem * current, (params["alpha"] * current + x, mem)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_parameters_of_any_shape_and_sequences_of_any_length_have_exact_gradients(backend: str) -> None:
    x = torch.randn(T, B, 2, 3, 4)
    state = (torch.zeros(B, 2, 3, 4), torch.zeros(1, 2, 1, 1))
    params = {"alpha": torch.tensor(0.5), "beta": torch.full((2, 1, 1), 0.3), "gain": torch.full((4,), 0.2)}
    lengths = torch.tensor([12, 5, 0])
    leaves = [each.requires_grad_() for each in params.values()]
    expected = torch.autograd.grad(scan(leaky_step, x, state, params, lengths=lengths)[0].sin().sum(), leaves)
    online, total = OnlineGradients(), 0.0
    for start in range(0, T, 4):
        now = (lengths - start).clamp(0, 4)
        with online:
            y, state = scan(leaky_step, x[start : start + 4], state, params, lengths=now, backend=backend)
        total = total + y.sin().sum()
    found = torch.autograd.grad(total, leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_states_keep_their_dtype() -> None:
    for dtype in (torch.bfloat16, torch.float32):
        x, beta = torch.ones(3, 2, 4, dtype=dtype), torch.full((4,), 0.5, dtype=dtype, requires_grad=True)
        online, h = OnlineGradients(), torch.zeros(2, 4, dtype=dtype)
        for _ in range(2):
            with online:
                y, h = scan(lambda x, h, beta: (beta * h + x,) * 2, x, h, beta)
            assert y.dtype == h.dtype == dtype
            y.sum().backward()
        assert beta.grad is not None and beta.grad.dtype == dtype


@pytest.mark.parametrize("make", [lambda: neurons("LIB"), lambda: cell("NBRC")])
def test_mixed_precision_sums_traces_in_float32(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model, x = make().float(), inputs(0.3).float()
    with torch.autocast("cpu", torch.bfloat16):
        whole, chunks = in_chunks(model, x, (T,), "eprop"), in_chunks(model, x, (1,) * T, "eprop")
    assert_equal(chunks, whole, 0.02)
    assert_equal(whole, in_chunks(model, x, (T,), "eprop"), 0.05)


def test_parameters_are_updated_between_chunks() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(INPUTS, UNITS), LIB(UNITS, quant_fn="identity"))
    optimizer, online = torch.optim.SGD(model.parameters(), 0.05), OnlineGradients()
    before = [each.clone() for each in model.parameters()]
    for x in inputs():
        with online:
            y = model(x)
        optimizer.zero_grad()
        y.pow(2).sum().backward()
        optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_a_reset_starts_a_new_sequence_and_evaluation_does_not_change_the_traces() -> None:
    torch.manual_seed(0)
    model, online = neurons("LIB"), OnlineGradients()
    expected = through_time(model, inputs())
    for _ in range(2):
        reset_states(model)
        online.reset()
        for start in (0, 6):
            with online:
                y = unroll(model, inputs()[start : start + 6])
                with torch.no_grad():
                    scan(leaky_step, y, (y[0], y[0]), {"alpha": y[0, 0], "beta": y[0, 0], "gain": y[0, 0]})
            loss(y, start).backward()
        assert_equal(gradients(model), expected)


def test_an_error_in_a_chunk_ends_the_sequence() -> None:
    torch.manual_seed(0)
    model, online = neurons("LIB"), OnlineGradients()
    expected = through_time(model, inputs())
    with online:
        unroll(model, inputs())
    with pytest.raises(KeyboardInterrupt), online:
        raise KeyboardInterrupt
    reset_states(model)
    with online:
        y = unroll(model, inputs())
    loss(y).backward()
    assert_equal(gradients(model), expected)


def test_only_the_last_layer_of_a_stack_has_exact_gradients() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(neurons("LIB"), nn.Linear(UNITS, UNITS), LI(UNITS))
    expected = through_time(model, inputs())
    found = in_chunks(model, inputs(), (4, 4, 4))
    for name, gradient in expected.items():
        exact = not name.startswith("0.")
        assert torch.allclose(found[name], gradient) == exact, name


def test_the_gradient_of_a_learned_initial_state_is_that_of_the_first_chunk() -> None:
    torch.manual_seed(0)
    model = layers.StigmergicPerceptron(INPUTS, UNITS)
    expected, found = through_time(model, inputs()), in_chunks(model, inputs(), (5, 7))
    first = in_chunks(model, inputs(), (5,))["threshold_start"]
    assert torch.equal(found.pop("threshold_start"), first)
    assert not torch.allclose(first, expected.pop("threshold_start"))
    assert_equal(found, expected)


def nbrc_with_cut_products(model: StatefulRecurrent, x: Tensor) -> dict[str, Tensor]:
    parameters = dict(model.layer.named_parameters())
    weight_ih, weight_hh, bias = (parameters[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias"))
    h, outputs = torch.zeros(B, UNITS), []
    for step in x:
        gates, recurrent = F.linear(step, weight_ih).chunk(3, -1), F.linear(h.detach(), weight_hh).chunk(2, -1)
        y, h = nbrc_step(gates, recurrent, h, bias.chunk(2))
        outputs.append(y)
    loss(torch.stack(outputs)).backward()
    return gradients(model)


@pytest.mark.parametrize("lengths", [(T,), (5, 7), (1,) * T])
def test_eprop_cuts_the_gradient_through_the_weights_between_units(lengths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = StatefulRecurrent(NBRC(INPUTS, UNITS))
    expected = nbrc_with_cut_products(model, inputs())
    assert_equal(in_chunks(model, inputs(), lengths, "eprop"), expected)
    exact = through_time(model, inputs())
    assert not torch.allclose(exact["layer.weight_hh_l0"], expected["layer.weight_hh_l0"])


DENSE: dict[str, Callable[[], nn.Module]] = {
    "PeepholeLSTM": lambda: cell("PeepholeLSTM"),
    "LEM": lambda: cell("LEM"),
    "CoRNN": lambda: cell("CoRNN"),
    "FullyRecurrent": lambda: nn.Sequential(nn.Linear(INPUTS, UNITS), FullyRecurrent(LIB(UNITS, quant_fn="identity"))),
    "BRC": lambda: cell("BRC"),
}


@pytest.mark.parametrize("name", DENSE)
def test_eprop_does_not_depend_on_the_chunks(name: str) -> None:
    torch.manual_seed(0)
    model = DENSE[name]()
    assert_equal(in_chunks(model, inputs(), (1, 4, 7), "eprop"), in_chunks(model, inputs(), (T,), "eprop"))


class Flip(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(-1)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "dense": (lambda: StatefulRecurrent(NBRC(INPUTS, UNITS)), r"rule 'eprop' \(not for LMU\)"),
    "hidden parameter": (lambda: nn.Sequential(nn.LayerNorm(INPUTS), LIB(INPUTS)), r"a parameter of shape \[4\]"),
    "mixed features": (lambda: nn.Sequential(nn.Linear(INPUTS, UNITS), Flip(), LIB(UNITS)), "features or samples"),
    "mixed samples": (
        lambda: nn.Sequential(nn.Linear(INPUTS, UNITS), nn.BatchNorm1d(UNITS, affine=False), LIB(UNITS)),
        "features or samples",
    ),
    "part of the units": (
        lambda: nn.Sequential(nn.Linear(INPUTS, UNITS), nn.ConstantPad1d((0, 1), 0.0), LIB(UNITS + 1)),
        "a linear map of 5 features",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_models_are_refused(name: str) -> None:
    make, message = REFUSED[name]
    model = make()
    with pytest.raises(ValueError, match=message), OnlineGradients():
        unroll(model, inputs())


class ClippedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        return a.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.clamp(-0.1, 0.1)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("clipped", ["state", "parameter"])
@pytest.mark.parametrize("rule", ["exact", "eprop"])
def test_clipped_gradients_are_refused(rule: str, clipped: str, backend: str) -> None:
    """Traces are derivatives, and clipping them is not clipping the gradient of the loss."""

    def step(x: Tensor, h: Tensor, p: Tensor) -> Any:
        h = torch.tanh((ClippedGradient.apply(p) if clipped == "parameter" else p) * h + x)
        h = ClippedGradient.apply(h) if clipped == "state" else h
        return h, h

    p = torch.full((UNITS,), 0.5, requires_grad=True)
    with pytest.raises(ValueError, match="not linear in the gradient"), OnlineGradients(rule):
        scan(step, torch.randn(T, B, UNITS), torch.zeros(B, UNITS), p, backend=backend)


def test_a_state_that_does_not_continue_the_last_one_is_refused() -> None:
    layer, online = layers.BRC(INPUTS, UNITS), OnlineGradients()
    with online:
        layer(inputs())
    with pytest.raises(ValueError, match="reset"), online:
        layer(inputs())


def test_lengths_unknown_rules_nesting_and_reverse_are_refused() -> None:
    with pytest.raises(ValueError, match="no lengths"), OnlineGradients():
        unroll(neurons("LIB"), inputs(), lengths=torch.tensor([12, 5, 0]))
    with pytest.raises(ValueError, match="unknown rule 'rtrl'"):
        OnlineGradients("rtrl")
    with pytest.raises(RuntimeError, match="on already"), OnlineGradients(), OnlineGradients():
        pass
    with pytest.raises(ValueError, match="reverse"), OnlineGradients():
        layers.BRC(INPUTS, UNITS, bidirectional=True)(inputs())


@pytest.mark.parametrize("rule", ["exact", "eprop"])
def test_chunks_without_samples_have_gradients_of_zero(rule: str) -> None:
    model, online = neurons("LIB"), OnlineGradients(rule)
    for _ in range(3):
        with online:
            y = unroll(model, inputs()[:, :0])
        assert y.shape == (T, 0, UNITS)
        y.sum().backward()
    assert all(not each.any() for each in gradients(model).values())


FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class Mallinfo(ctypes.Structure):
    """What ``mallinfo2`` of glibc gives; bytes in use are those in its heaps and in mappings of their own."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in FIELDS)


def allocated() -> int:
    """The bytes that the process has asked for and not freed: unlike its resident memory, no matter of what the system
    has swapped out.
    """
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Mallinfo
    gc.collect()
    found = mallinfo()
    return int(found.uordblks + found.hblkhd)


def sees_tensors() -> bool:
    """Whether `allocated` counts the memory of tensors; PyTorch for ARM has an allocator of its own."""
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"):
        return False
    before, tensor = allocated(), torch.empty(1 << 20, dtype=torch.uint8)
    return allocated() - before >= tensor.nbytes


@pytest.mark.skipif(not sees_tensors(), reason="measures tensors with glibc's mallinfo2")
@pytest.mark.parametrize("backward", [True, False])
def test_memory_does_not_grow_with_time(backward: bool) -> None:
    """A chunk of time keeps no memory once its gradients are computed; without them, it keeps its graph."""
    chunk, batch, units = 20, 16, 256
    model = nn.Sequential(nn.Linear(32, units), LIB(units, quant_fn="round"))
    online, losses = OnlineGradients(), torch.zeros(())

    def train(chunks: int) -> int:
        nonlocal losses
        for _ in range(chunks):
            with online:
                y = unroll(model, torch.randn(chunk, batch, 32))
            if backward:
                y.square().mean().backward()
            else:
                losses = losses + y.square().mean()
        return allocated()

    before = train(5)
    grown, of_graphs = train(20) - before, 20 * chunk * batch * units * 4  # one tensor of each chunk at least
    assert abs(grown) < of_graphs / 100 if backward else grown > of_graphs, grown


def test_resets_and_delays_are_refused() -> None:
    delayed = nn.Sequential(nn.Linear(INPUTS, UNITS), FullyRecurrent(LIB(UNITS), max_delay=3))
    with OnlineGradients("eprop"), pytest.raises(ValueError, match="neither resets within a sequence nor delays"):
        unroll(delayed, inputs())
    with OnlineGradients(), pytest.raises(ValueError, match="neither resets within a sequence nor delays"):
        unroll(neurons("LIB"), inputs(), reset=torch.ones(T, B, dtype=torch.bool))


def test_other_threads_are_not_affected() -> None:
    """A recurrence in reverse, which online gradients refuse, runs in another thread while they are on in this one."""
    found = []
    x, state = torch.randn(3, 2, 4, requires_grad=True), torch.zeros(2, 4)
    thread = Thread(target=lambda: found.append(scan(lambda x, h, p: (h + x, h + x), x, state, reverse=True)[0]))
    with OnlineGradients():
        thread.start()
        thread.join()
    torch.testing.assert_close(found[0], x.flip(0).cumsum(0).flip(0))


def two_states(x: Tensor, state: tuple[Tensor, Tensor], decay: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    a, b = state
    a = decay * a + x
    b = 0.5 * b + a
    return b, (a, b)


@pytest.mark.parametrize(("changed", "factor"), [(0, 0.0), (0, 1.001), (1, 0.0), (1, 1.1)])
def test_every_state_must_be_that_with_which_the_chunk_before_ended(changed: int, factor: float) -> None:
    decay, state = torch.tensor(0.9, requires_grad=True), [torch.zeros(2, 4), torch.zeros(2, 4)]
    online = OnlineGradients()
    with online:
        y, after = scan(two_states, torch.randn(3, 2, 4), tuple(state), decay)
        y.sum().backward()
    others = [factor * each if number == changed else each for number, each in enumerate(after)]
    with pytest.raises(ValueError, match="does not go on from the state"), online:
        scan(two_states, torch.randn(3, 2, 4), tuple(others), decay)


def test_a_recurrence_that_has_diverged_goes_on() -> None:
    decay, online = torch.tensor(0.9, requires_grad=True), OnlineGradients()
    state: tuple[Tensor, Tensor] = (torch.zeros(2, 4), torch.zeros(2, 4))
    for value in (torch.nan, 1.0):
        with online:
            y, state = scan(two_states, torch.full((3, 2, 4), value), state, decay)
            y.sum().backward()
    assert y.isnan().all()
