"""The equations of the plastic layers once more, neuron by neuron and synapse by synapse, in plain Python numbers."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from torch import Tensor, nn

from bionets.layers.plastic import Conv2d, Linear, WeightedConnection


def moved(value: float, drive: float, rest: float, kind: str, constant: float, alpha: float, dt: float = 1.0) -> float:
    """A voltage, trace or threshold one step later: the equations as FACTS states them, linear and exponential."""
    if kind == "linear":
        return rest + constant * (value - rest) + alpha * drive
    return value + dt / constant * (-(value - rest) + alpha * drive)


@dataclass
class Neuron:
    """One integrate-and-fire neuron. Dynamics are (kind, λ or τ, α)."""

    voltage_dynamics: tuple[str, float, float]
    trace_dynamics: tuple[str, float, float]
    threshold: float
    rest: float
    refractory: int
    threshold_dynamics: tuple[str, float, float] | None = None
    v: float = field(init=False)
    theta: float = field(init=False)
    trace: float = 0.0
    last_spike: float = -math.inf
    now: int = -1

    def __post_init__(self) -> None:
        self.v, self.theta = self.rest, self.threshold

    def step(self, current: float) -> bool:
        self.now += 1
        if self.now - self.last_spike > self.refractory:
            self.v = moved(self.v, current, self.rest, *self.voltage_dynamics)
            spike = self.v >= self.theta
        else:
            spike = False
        if spike:
            self.v, self.last_spike = self.rest, self.now
        self.trace = moved(self.trace, float(spike), 0.0, *self.trace_dynamics)
        if self.threshold_dynamics:
            self.theta = moved(self.theta, float(spike), self.threshold, *self.threshold_dynamics)
        return spike


def arrivals(sent: list[bool], delay: int) -> list[bool]:
    """When a synapse delivers spikes: those sent ``delay`` steps before, unless another one was sent meanwhile."""
    return [
        t >= delay and sent[t - delay] and not any(sent[s] for s in range(t - delay + 1, t)) for t in range(len(sent))
    ]


def traces(spikes: list[bool], decay: float, gain: float, nearest: bool = False) -> list[float]:
    value, found = 0.0, []
    for spike in spikes:
        value = decay * value
        if spike:
            value = gain if nearest else value + gain
        found.append(value)
    return found


Index = tuple[int, ...]


def synapses(connection: nn.Module, source: Index, target: Index) -> Iterator[tuple[Index, Index, Index]]:
    """Every synapse: the index of its weight, of its presynaptic and of its postsynaptic neuron."""
    if isinstance(connection, Linear):
        pre, post = list(itertools.product(*map(range, source))), list(itertools.product(*map(range, target)))
        for (i, a), (j, b) in itertools.product(enumerate(pre), enumerate(post)):
            yield (i, j), a, b
    else:
        assert isinstance(connection, Conv2d)
        outputs, channels, height, width = connection.weight.shape
        (step_y, step_x), (pad_y, pad_x), (gap_y, gap_x) = connection.stride, connection.padding, connection.dilation
        for o, c, ky, kx in itertools.product(range(outputs), range(channels), range(height), range(width)):
            for y, x in itertools.product(range(target[1]), range(target[2])):
                row, column = y * step_y - pad_y + ky * gap_y, x * step_x - pad_x + kx * gap_x
                if 0 <= row < source[1] and 0 <= column < source[2]:
                    yield (o, c, ky, kx), (c, row, column), (o, y, x)


@dataclass
class Seen:
    """What one synapse saw, step by step: pre- and postsynaptic spikes and traces."""

    weight: Index
    post: Index
    pre_spikes: list[bool]
    pre_trace: list[float]
    post_spikes: list[bool]
    post_trace: list[float]


def seen(
    connection: WeightedConnection, pre: Tensor, post: Tensor, pre_trace: Index, post_trace: Index
) -> list[list[Seen]]:
    """For each sample what each synapse saw, from the spikes ``[T, B, *shape]`` and (decay, gain) of both traces."""
    found = []
    for b in range(pre.shape[1]):
        found.append([])
        for weight, i, j in synapses(connection, tuple(pre.shape[2:]), tuple(post.shape[2:])):
            delay = connection.delay
            steps = 0 if delay is None else int(delay if delay.dim() == 0 else delay[weight])
            arrived = arrivals([bool(s) for s in pre[(slice(None), b, *i)]], steps)
            fired = [bool(s) for s in post[(slice(None), b, *j)]]
            found[b].append(Seen(weight, j, arrived, traces(arrived, *pre_trace), fired, traces(fired, *post_trace)))
    return found


def learn(
    weight: Tensor, samples: list[list[Seen]], bounds: tuple[float, float], change: Callable[[Seen, int, float], float]
) -> Tensor:
    """Weights after all steps; ``change(synapse, t, w)`` is what one synapse of one sample wants to add."""
    weight = weight.clone()
    for t in range(len(samples[0][0].pre_spikes)):
        total = weight.new_zeros(weight.shape)
        for sample in samples:
            for synapse in sample:
                total[synapse.weight] += change(synapse, t, float(weight[synapse.weight])) / len(samples)
        weight = (weight + total).clamp(*bounds)
    return weight
