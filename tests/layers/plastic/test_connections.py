"""Currents and traces of connections, also with delays, are sums over single synapses."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from bionets.layers import unroll
from bionets.layers.plastic import (
    LIF,
    AdaptiveMaxPool2d,
    Connection,
    Conv2d,
    Input,
    LateralInhibition,
    Linear,
    LinearDynamics,
    MaxPool2d,
    OneToOne,
)
from tests.layers.plastic import plastic_naive as naive

pytestmark = pytest.mark.usefixtures("double_precision")

STEPS, BATCH = 25, 2
DECAY, GAIN = 0.8, 0.7


def carried(connection: Connection, shape: tuple[int, ...], nearest: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Random spikes, and the currents and summed traces ``[T, B, ...]`` that the connection makes of them."""
    source = Input(shape, trace=LinearDynamics(DECAY, GAIN), nearest_spike=nearest)
    spikes = torch.rand(STEPS, BATCH, *shape) < 0.4
    source.prepare(BATCH, spikes.device)
    currents, traces = [], []
    for step in spikes:
        source.fire(step)
        currents.append(connection(source))
        traces.append(connection.summed_trace())
    return spikes, torch.stack(currents), torch.stack(traces)


def each(kind: str, delay: str) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    if kind == "linear":
        shape, source, target = (6, 3), (2, 3), (3,)
    else:
        shape, source, target = (2, 2, 3, 2), (2, 5, 4), (2, 3, 2)
    delays: Any = {"none": 0, "all alike": 2, "each its own": torch.randint(0, 4, shape)}[delay]
    if kind == "linear":
        return Linear(*shape, delay=delays), source, target
    options = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "delay": delays}
    return Conv2d(2, 2, (3, 2), **options), source, target


@pytest.mark.parametrize("nearest", [False, True])
@pytest.mark.parametrize("delay", ["none", "all alike", "each its own"])
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_currents_and_traces_are_those_of_single_synapses(kind: str, delay: str, nearest: bool) -> None:
    connection, source, target = each(kind, delay)
    connection.check(source, target)
    spikes, currents, traces = carried(connection, source, nearest)
    expected, expected_traces = torch.zeros(2, STEPS, BATCH, *target)
    for b in range(BATCH):
        for weight, i, j in naive.synapses(connection, source, target):
            steps = 0
            if connection.delay is not None:
                steps = int(connection.delay if connection.delay.dim() == 0 else connection.delay[weight])
            arrived = naive.arrivals(spikes[(slice(None), b, *i)].tolist(), steps)
            at = (slice(None), b, *j)
            expected[at] += connection.weight[weight] * torch.tensor(arrived)
            expected_traces[at] += torch.tensor(naive.traces(arrived, DECAY, GAIN, nearest))
    torch.testing.assert_close(currents.reshape(expected.shape), expected)
    torch.testing.assert_close(traces.reshape(expected.shape), expected_traces)


def test_a_later_spike_overwrites_the_one_in_flight() -> None:
    source, connection = Input(1), Linear(1, 1, weight=torch.ones(1, 1), delay=3)
    source.prepare(1, torch.device("cpu"))
    arrived = []
    for spike in [1, 0, 0, 1, 0, 1, 0, 0, 0, 0]:
        source.fire(torch.tensor([[bool(spike)]]))
        arrived.append(int(connection(source)))
    #       sent at 0 arrives at 3; the one sent at 3 is overwritten at 5, which arrives at 8
    assert arrived == [0, 0, 0, 1, 0, 0, 0, 0, 1, 0]


def test_connections_without_a_delay_have_no_state() -> None:
    for connection in (Linear(3, 2), Conv2d(1, 1, 2), OneToOne(3, 1.0), MaxPool2d(2), Linear(3, 2, delay=0)):
        assert connection.state_names == () and connection.delay is None


def test_a_connection_within_unroll_is_refused() -> None:
    class Wired(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source, self.connection = LIF(2, LinearDynamics(0.9)), Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.source(x)
            return self.connection(self.source)

    with pytest.raises(RuntimeError, match=r"the state spikes of LIF is read within unroll: .* step by step"):
        unroll(Wired(), torch.ones(3, 1, 2))


@pytest.mark.parametrize("delay", [0, torch.tensor([0, 1, 2, 1])])
def test_currents_and_traces_of_lateral_connections_are_those_of_single_synapses(delay: Any) -> None:
    weight = torch.rand(4)
    for connection, count in ((OneToOne(4, weight, delay=delay), 1), (LateralInhibition(4, weight, delay=delay), 3)):
        spikes, currents, traces = carried(connection, (4,))
        steps = torch.as_tensor(delay).expand(4).tolist()
        for b, j in itertools.product(range(BATCH), range(4)):
            sources = [j] if count == 1 else [i for i in range(4) if i != j]
            arrived = torch.tensor([naive.arrivals(spikes[:, b, i].tolist(), steps[i]) for i in sources])
            torch.testing.assert_close(currents[:, b, j], weight[j] * arrived.sum(0))
            seen = torch.tensor([naive.traces(row, DECAY, GAIN) for row in arrived.tolist()])
            torch.testing.assert_close(traces[:, b, j], seen.sum(0))


@pytest.mark.parametrize("delay", [0, 1])
def test_pooling_passes_one_spike_per_window(delay: int) -> None:
    for connection in (MaxPool2d(2, weight=0.5, delay=delay), AdaptiveMaxPool2d(2, weight=0.5, delay=delay)):
        connection.check((3, 4, 4), (3, 2, 2))
        spikes, currents, traces = carried(connection, (3, 4, 4))
        for b, c, y, x in itertools.product(range(BATCH), range(3), range(2), range(2)):
            window = list(itertools.product((2 * y, 2 * y + 1), (2 * x, 2 * x + 1)))
            arrived = [naive.arrivals(spikes[:, b, c, i, j].tolist(), delay) for i, j in window]
            assert currents[:, b, c, y, x].tolist() == [0.5 * any(now) for now in zip(*arrived, strict=True)]
            largest = torch.tensor([naive.traces(row, DECAY, GAIN) for row in arrived]).amax(0)
            torch.testing.assert_close(traces[:, b, c, y, x], largest)


def test_normalise_scales_the_inputs_of_each_neuron() -> None:
    linear = Linear(4, 3, bounds=(-1.0, 1.0), norm=2.0)
    linear.normalise()
    torch.testing.assert_close(linear.weight.abs().sum(0), torch.full((3,), 2.0))
    conv = Conv2d(2, 3, 2, norm=2.0)
    conv.normalise()
    torch.testing.assert_close(conv.weight.sum((1, 2, 3)), torch.full((3,), 2.0))
    tight = Linear(2, 1, weight=torch.tensor([[0.9], [0.1]]), bounds=(0.0, 1.0), norm=1.5)
    tight.normalise()
    torch.testing.assert_close(tight.weight.flatten(), torch.tensor([1.0, 0.15]))
    for norm in (1.0, 78.4):
        silent = Linear(2, 1, weight=torch.zeros(2, 1, dtype=torch.float32), norm=norm)
        silent.normalise()
        assert silent.weight.tolist() == [[0.0], [0.0]]


def test_initial_weights_are_uniform_between_the_bounds() -> None:
    for bounds, (low, high) in (((-3.0, -1.0), (-3, -1)), ((-math.inf, 0.5), (0, 0.5)), ((0.2, math.inf), (0.2, 1))):
        weight = Linear(100, 100, bounds=bounds).weight
        assert low <= weight.min() < low + 0.01 and high - 0.01 < weight.max() <= high
        assert weight.mean().item() == pytest.approx((low + high) / 2, abs=0.03)


def test_integer_and_bool_weights_are_converted_and_others_keep_their_dtype() -> None:
    assert Linear(2, 2, weight=torch.eye(2, dtype=torch.float32)).weight.dtype == torch.float32
    for weight in (torch.eye(2, dtype=torch.int64), torch.eye(2, dtype=torch.bool)):
        connection = Linear(2, 2, weight=weight)
        assert connection.weight.dtype == torch.get_default_dtype()
        assert torch.equal(connection.weight.data, torch.eye(2))


def test_invalid_shapes_and_options_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Linear\(3, 2\) does not fit between \(4,\) and \(2,\)"):
        Linear(3, 2).check((4,), (2,))
    with pytest.raises(ValueError, match=r"does not fit .* takes \(1, 5, 5\) to \(2, 3, 3\)"):
        Conv2d(1, 2, 3).check((1, 5, 5), (2, 4, 4))
    with pytest.raises(ValueError, match=r"does not fit between \(25,\) .* takes \[1, H, W\] with H, W ≥ \(3, 3\)"):
        Conv2d(1, 2, 3).check((25,), (2, 3, 3))
    with pytest.raises(ValueError, match=r"MaxPool2d takes \(1, 4, 4\) to \(1, 2, 2\), not to \(1, 4, 4\)"):
        MaxPool2d(2).check((1, 4, 4), (1, 4, 4))
    with pytest.raises(ValueError, match=r"MaxPool2d pools \[C, H, W\], got \(4, 4\)"):
        MaxPool2d(2).check((4, 4), (2, 2))
    for make, message in (
        (lambda: Linear(0, 2), "in_features must be greater than zero, got 0"),
        (lambda: OneToOne(0, 1.0), "size must be greater than zero, got 0"),
        (lambda: Conv2d(1, -2, 3), "out_channels must be greater than zero, got -2"),
        (lambda: Conv2d(1, 2, (3, 3, 3)), r"kernel_size must be an integer or a pair of integers, got \(3, 3, 3\)"),  # type: ignore[arg-type]
        (lambda: Conv2d(1, 2, 3, stride=0), "stride must be at least 1, got 0"),
        (lambda: Conv2d(1, 2, 3, padding=(0, -1)), r"padding must be at least 0, got \(0, -1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="Linear: weight must be a tensor, got a list"):
        Linear(1, 2, weight=[[0.0, 1.0]])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Linear: weight must be real, got torch.complex64"):
        Linear(1, 2, weight=torch.zeros(1, 2, dtype=torch.complex64))
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        Linear(3, 2, delay=-1)
    with pytest.raises(ValueError, match=r"a delay must be a whole number of steps, got 1\.5"):
        Linear(3, 2, delay=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"delay must be of shape \(3, 2\), got \(3,\)"):
        Linear(3, 2, delay=torch.ones(3))
    with pytest.raises(ValueError, match=r"weight must be of shape \(3, 2\), got \(2, 3\)"):
        Linear(3, 2, weight=torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"initial weights must lie within the bounds 0\.0 to 1\.0"):
        Linear(3, 2, weight=torch.full((3, 2), 1.5))
    with pytest.raises(ValueError, match=r"initial weights must lie within the bounds 0\.0 to 1\.0"):
        Linear(3, 2, weight=torch.full((3, 2), -0.5))
    with pytest.raises(ValueError, match="initial weights must lie within the bounds"):
        Linear(3, 2, weight=torch.full((3, 2), math.nan))
    with pytest.raises(ValueError, match="norm must be above zero, got nan"):
        Linear(3, 2, norm=math.nan)
    with pytest.raises(ValueError, match="norm must be finite; None for no normalisation"):
        Linear(3, 2, norm=math.inf)
    with pytest.raises(ValueError, match="OneToOne: weight must be finite"):
        OneToOne(3, math.nan)
    for weight in (math.nan, math.inf):
        with pytest.raises(ValueError, match="MaxPool2d: weight must be finite"):
            MaxPool2d(2, weight=weight)
    with pytest.raises(ValueError, match="lower bound must be below"):
        Linear(3, 2, bounds=(1.0, 0.0))
    for bounds in ((2.0, math.inf), (1.0, math.inf), (-math.inf, 0.0), (-math.inf, -1.0)):
        with pytest.raises(ValueError, match="have no default weights: give weight="):
            Linear(3, 2, bounds=bounds)
    with pytest.raises(ValueError, match=r"OneToOne: delay must be an int or of shape \(4, 1\), got \(4,\)"):
        OneToOne(4, 1.0, delay=torch.arange(4)).check((4, 1), (4,))
    with pytest.raises(ValueError, match=r"LateralInhibition: delay must be an int or of shape \(4,\), got \(3,\)"):
        LateralInhibition(4, 1.0, delay=torch.arange(3)).check((4,), (4,))
    with pytest.raises(ValueError, match=r"MaxPool2d: delay must be an int or of shape \(1, 4, 4\), got \(2, 2\)"):
        MaxPool2d(2, delay=torch.ones(2, 2)).check((1, 4, 4), (1, 2, 2))
    MaxPool2d(2, delay=torch.ones(3, 1, 1)).check((3, 4, 4), (3, 2, 2))
    with pytest.raises(ValueError, match="OneToOne: weight must be a number or of shape"):
        OneToOne(3, torch.ones(2))
    with pytest.raises(ValueError, match=r"LateralInhibition\(3\) does not fit"):
        LateralInhibition(3, 1.0).check((3,), (4,))


@pytest.mark.parametrize(
    "options", [{"dilation": 2}, {"ceil_mode": True, "stride": 2}, {"dilation": (1, 2), "padding": 1}]
)
def test_pooling_accepts_the_options_of_torch(options: dict[str, Any]) -> None:
    connection, plain = MaxPool2d(2, weight=0.5, **options), torch.nn.MaxPool2d(2, **options)
    expected = tuple(plain(torch.zeros(1, 3, 5, 5)).shape[1:])
    connection.check((3, 5, 5), expected)  # type: ignore[arg-type]
    spikes, currents, _ = carried(connection, (3, 5, 5))
    for step, current in zip(spikes, currents, strict=True):
        assert torch.equal(current, 0.5 * plain(step.float()))


@pytest.mark.parametrize("option", [{"padding": "same"}, {"stride": 1.5}, {"dilation": (1, 2, 3)}])
def test_a_convolution_takes_integers_for_stride_padding_and_dilation(option: dict[str, Any]) -> None:
    (name,) = option
    with pytest.raises(ValueError, match=f"{name} must be an integer or a pair of integers, got"):
        Conv2d(1, 1, 3, **option)
