"""Layers with options drawn at random: the compiled backend, chunks and padding change no number; wrong states are
refused."""

import inspect
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bionets import layers as all_layers
from bionets.layers import (
    Delay,
    DelayedLinear,
    RecurrentStigmergicMemory,
    SequenceDropout,
    StatefulModule,
    StatefulRecurrent,
    StigmergicMemory,
    StigmergicPerceptron,
    spiking,
)
from bionets.layers.recurrent.recurrence import as_tuple
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.layers.spiking import FullyRecurrent, SpikingLayer

SIZES = (1, 2, 3, 5, 9)
RECURRENT = [kind for kind in vars(all_layers).values() if inspect.isclass(kind) and issubclass(kind, RecurrentLayer)]
SPIKING = [
    kind
    for name, kind in vars(spiking).items()
    if inspect.isclass(kind) and issubclass(kind, SpikingLayer) and name not in ("SpikingLayer", "LeakyIntegrator")
]
CLAMPS = ((0.0, 10.0), (None, 3.0), (-1.0, None), (None, None))
Run = tuple[Tensor, tuple[Tensor, ...]]


def recurrent_layer(draw: random.Random, **fixed: Any) -> RecurrentLayer:
    kind = draw.choice(RECURRENT)
    options = {
        "num_layers": draw.choice([1, 2]),
        "bias": draw.random() < 0.7,
        "batch_first": draw.random() < 0.3,
        "bidirectional": draw.random() < 0.5,
        **{name: value * draw.choice([0.5, 1.0, 1.7]) for name, value in kind.recurrence.constants.items()},
        **fixed,
    }
    return kind(draw.choice(SIZES), draw.choice(SIZES), **options)


def spiking_layer(draw: random.Random, size: int) -> SpikingLayer:
    """With smooth spikes, so that rounding does not decide whether there is one."""
    kind, options = draw.choice(SPIKING), {}
    for name, default, _, rank, learn in kind.specs:
        if default is None and draw.random() < 0.5:
            options[name] = -0.2
        options |= {f"{name}_rank": 1 - rank} if draw.random() < 0.3 else {}
        options |= {f"learn_{name}": not learn} if draw.random() < 0.3 else {}
    if kind.default_spike_fn is not None:
        options |= {"spike_fn": "sigmoid4x", "quant_fn": "identity"}
    return kind(size, **options)


def stateful_layer(draw: random.Random) -> tuple[StatefulModule, int]:
    """A layer, and the size of its input."""
    size, other, (low, high) = draw.choice(SIZES), draw.choice(SIZES), draw.choice(CLAMPS)
    kind = draw.choice(["spiking", "connected", "stigmergic", "perceptron", "recurrent", "delay", "dropout"])
    if kind == "spiking":
        return spiking_layer(draw, size), size
    if kind == "connected":
        delays = {"max_delay": draw.choice([2, 4]), "synaptic": draw.random() < 0.5} if draw.random() < 0.5 else {}
        return FullyRecurrent(spiking_layer(draw, size), **delays), size
    if kind == "stigmergic":
        memory = draw.choice([StigmergicMemory, RecurrentStigmergicMemory])
        layer = memory(size, other, draw.choice([0, 1, 2]), 4, low, high, draw.choice([None, 2]))
        return layer, layer.input_size
    if kind == "perceptron":
        return StigmergicPerceptron(size, other, draw.random() < 0.5, low, high), size
    if kind == "recurrent":
        inner = recurrent_layer(draw, bidirectional=False)
        return StatefulRecurrent(inner), inner.input_size
    if kind == "delay":
        options = {"sigma": draw.choice([0.0, 0.8]), "interpolation": draw.choice(["linear", "gaussian"])}
        return draw.choice([Delay(size, 3, **options), DelayedLinear(size, other, 3, **options)]), size
    return SequenceDropout(0.5).train(draw.random() < 0.5), size


class Drawn:
    """A layer in float64 with an input ``[T, B, *]``, states and lengths, all drawn from a seed."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        draw = random.Random(seed)
        self.layer: nn.Module
        self.time, batch = draw.choice([1, 2, 6]), draw.choice([1, 2, 4])
        if draw.random() < 0.35:
            layer = recurrent_layer(draw)
            self.layer, self.batch_axis, size = layer, 1, layer.input_size
            shapes = [layer._state_shape(batch)] * len(layer.recurrence.states)
        else:
            self.layer, size = stateful_layer(draw)
            self.batch_axis, shapes = 0, list(self.layer.state_shapes(torch.Size((batch, size))))
        self.layer.double()
        self.x = torch.randn(self.time, batch, size, dtype=torch.float64)
        self.states = tuple(torch.rand(shape, dtype=torch.float64) for shape in shapes)
        self.lengths = torch.randint(self.time + 1, (batch,))

    def run(self, x: Tensor, states: tuple[Tensor, ...], **options: Any) -> Run:
        if isinstance(self.layer, StatefulModule):
            return self.layer.over_time(x, states, **options)
        first = self.layer.batch_first
        y, last = self.layer(x.transpose(0, 1) if first else x, states if len(states) > 1 else states[0], **options)
        return (y.transpose(0, 1) if first else y), as_tuple(last)

    def in_chunks(self, x: Tensor, states: tuple[Tensor, ...]) -> Run:
        y, cut = [], self.time // 2
        for begin, end in ((0, cut), (cut, cut), (cut, self.time)):
            lengths = (self.lengths - begin).clamp(0, end - begin)
            chunk, states = self.run(x[begin:end], states, lengths=lengths)
            y.append(chunk)
        return torch.cat(y), states

    def alone(self, x: Tensor, states: tuple[Tensor, ...]) -> Run:
        """Each sequence without the others and without padding."""
        found = []
        for n, length in enumerate(self.lengths.tolist()):
            own = tuple(state.narrow(self.batch_axis, n, 1) for state in states)
            y, last = self.run(x[:length, n : n + 1], own)
            found.append((torch.cat([y, y.new_zeros(self.time - length, *y.shape[1:])]), last))
        outputs, last_states = zip(*found, strict=True)
        return torch.cat(outputs, 1), tuple(torch.cat(each, self.batch_axis) for each in zip(*last_states, strict=True))

    def padded(self, value: float) -> Tensor:
        beyond = torch.arange(self.time).unsqueeze(1) >= self.lengths
        return self.x.masked_fill(beyond.unsqueeze(2), value)

    def outcome(self, run: Any, x: Tensor, **options: Any) -> list[Tensor]:
        """Outputs, last states, and all gradients; zeros where there is none."""
        x, *states = (each.clone().requires_grad_() for each in (x, *self.states))
        y, last = run(x, tuple(states), **options)
        loss = sum((each * torch.arange(1, each.numel() + 1).view(each.shape).sin()).sum() for each in (y, *last))
        inputs = [x, *states, *(each for each in self.layer.parameters() if each.requires_grad)]
        gradients = torch.autograd.grad(loss, inputs, materialize_grads=True)
        return [each.detach() for each in (y, *last, *gradients)]


@pytest.mark.parametrize("seed", range(48))
def test_lengths_padding_and_chunks_equal_single_sequences(seed: int) -> None:
    drawn = Drawn(seed)
    expected = drawn.outcome(drawn.alone, drawn.x)
    for backend in ("auto", "reference"):
        for padding in (torch.nan, torch.inf, 1e30):
            found = drawn.outcome(drawn.run, drawn.padded(padding), lengths=drawn.lengths, backend=backend)
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8, msg=f"{drawn.layer} {backend} {padding}")
    if not getattr(drawn.layer, "bidirectional", False):
        torch.testing.assert_close(drawn.outcome(drawn.in_chunks, drawn.x), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("seed", range(48))
def test_states_of_another_shape_are_refused(seed: int) -> None:
    drawn = Drawn(seed)
    first, *others = drawn.states
    wrong = [
        (torch.cat([first, first], drawn.batch_axis), *others),
        (torch.cat([first, first], -1), *others),
        (first.select(drawn.batch_axis, 0), *others),
        (*drawn.states, first),
    ]
    if first.shape[drawn.batch_axis] > 1:
        wrong.append((first.narrow(drawn.batch_axis, 0, 1), *others))
    if first.shape[-1] > 1:
        wrong.append((first[..., :1], *others))
    for states in wrong:
        for backend in ("auto", "reference"):
            with pytest.raises(ValueError, match="expected") as refused:
                drawn.run(drawn.x, states, backend=backend)
            assert "\n" not in str(refused.value)
