"""Equivalent computations give the same outputs and gradients, for every public layer."""

import copy
import inspect
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from bionets import layers as all_layers
from bionets.layers import (
    RecurrentStigmergicMemory,
    StatefulModule,
    StatefulRecurrent,
    StigmergicMemory,
    StigmergicPerceptron,
    get_states,
    plastic,
    reset_states,
    set_states,
    spiking,
    unroll,
)
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.layers.spiking import FullyRecurrent, SpikingLayer, freeze

STEPS, BATCH, SIZE = 6, 3, 4
Make = Callable[..., nn.Module]


def spiking_layer(kind: type[SpikingLayer], **options: Any) -> SpikingLayer:
    """With smooth spikes, so that rounding does not decide whether there is one, and parameters that differ."""
    known = inspect.signature(kind).parameters
    smooth = {"spike_fn": "sigmoid4x", "quant_fn": "identity"} if "spike_fn" in known else {}
    layer = kind(SIZE, backend="reference", **smooth, **options)
    for parameter in layer.parameters():
        if parameter.dim():
            parameter.data += torch.linspace(-0.1, 0.1, SIZE)
    return layer


def fully_recurrent(**options: Any) -> FullyRecurrent:
    layer = FullyRecurrent(spiking_layer(spiking.DSRLITS, **options))
    layer.weight.data = torch.linspace(-0.5, 0.5, SIZE * SIZE).view(SIZE, SIZE)
    return layer


SPIKING = {
    name: kind
    for name, kind in vars(spiking).items()
    if inspect.isclass(kind) and issubclass(kind, SpikingLayer) and name not in ("SpikingLayer", "LeakyIntegrator")
}
RECURRENT = {
    name: kind
    for name, kind in vars(all_layers).items()
    if inspect.isclass(kind) and issubclass(kind, RecurrentLayer) and kind is not RecurrentLayer
}
OF_TORCH = {"GRU": nn.GRU, "LSTM": nn.LSTM, "RNN": nn.RNN}
STATEFUL: dict[str, Make] = {
    **{name: (lambda kind=kind, **options: spiking_layer(kind, **options)) for name, kind in SPIKING.items()},
    "FullyRecurrent": lambda **options: fully_recurrent(**options),
    "StigmergicMemory": lambda: StigmergicMemory(SIZE, 5, hidden_layers=1, hidden_size=6),
    "RecurrentStigmergicMemory": lambda: RecurrentStigmergicMemory(SIZE, 5, hidden_layers=1, hidden_size=6),
    "StigmergicPerceptron": lambda: StigmergicPerceptron(SIZE, 5),
    "StigmergicPerceptron with weights": lambda: StigmergicPerceptron(SIZE, 5, stigmergic_weights=True),
    **{
        f"StatefulRecurrent {name}": lambda kind=kind, **options: StatefulRecurrent(
            kind(SIZE, 5, backend="reference"), **options
        )
        for name, kind in RECURRENT.items()
    },
    **{
        f"StatefulRecurrent {name}": lambda kind=kind, **options: StatefulRecurrent(kind(SIZE, 5), **options)
        for name, kind in OF_TORCH.items()
    },
    "StatefulRecurrent stack": lambda **options: StatefulRecurrent(
        nn.LSTM(SIZE, 5, num_layers=2, batch_first=True, proj_size=3), **options
    ),
}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(STEPS, BATCH, SIZE, generator=torch.Generator().manual_seed(0))


Outcome = tuple[Tensor, dict[str, Tensor], list[Tensor]]


def outcome(layer: nn.Module, x: Tensor, run: Callable[[nn.Module, Tensor], Tensor] = unroll) -> Outcome:
    """The output, the last states, and the gradients of the input and of the learned parameters."""
    reset_states(layer)
    x = x.detach().requires_grad_()
    y = run(layer, x)
    weight = torch.arange(y.numel(), dtype=y.dtype).view(y.shape).sin()
    learned = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad((y * weight).sum(), [x, *learned], allow_unused=True)
    return y.detach(), {name: state.detach() for name, state in get_states(layer).items()}, list(gradients)


def step_by_step(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([layer(step) for step in x])


def in_chunks(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([unroll(layer, x[:1]), unroll(layer, x[1:4]), layer(x[4]).unsqueeze(0), unroll(layer, x[5:])])


def within_a_model(layer: nn.Module, x: Tensor) -> Tensor:
    return unroll(nn.Sequential(nn.Identity(), nn.Sequential(layer)), x)


def sample_by_sample(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([(reset_states(layer), unroll(layer, x[:, n : n + 1]))[1] for n in range(x.shape[1])], 1)


LENGTHS = torch.tensor([3, STEPS, 0])


def each_to_its_length(layer: nn.Module, x: Tensor) -> Tensor:
    """Each sequence alone, with its last state."""
    outputs, states = [], []
    for n, length in enumerate(LENGTHS.tolist()):
        reset_states(layer)
        y = unroll(layer, x[:length, n : n + 1])
        outputs.append(torch.cat([y, y.new_zeros(STEPS - length, *y.shape[1:])]))
        states.append(get_states(layer))
    set_states(layer, {key: torch.cat([state[key] for state in states]) for key in states[0]})
    return torch.cat(outputs, 1)


def with_lengths(layer: nn.Module, x: Tensor) -> Tensor:
    return unroll(layer, x, lengths=LENGTHS)


def whole_sequence_with_lengths(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x, whole_sequence=True, lengths=LENGTHS)


def with_lengths_in_chunks(layer: nn.Module, x: Tensor) -> Tensor:
    chunks = [unroll(layer, x[t : t + 2], lengths=(LENGTHS - t).clamp(0, 2)) for t in range(0, STEPS, 2)]
    return torch.cat(chunks)


def pure(layer: nn.Module, x: Tensor) -> Tensor:
    y, _ = layer.over_time(x)  # type: ignore[operator]
    return y


def close(found: Any, expected: Any, what: str = "") -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5, msg=lambda text: f"{what}: {text}")


@pytest.mark.parametrize("name", STATEFUL)
class TestStateful:
    def test_steps_chunks_models_and_single_samples_equal_one_pass(self, name: str, x: Tensor) -> None:
        layer = STATEFUL[name]()
        expected = outcome(layer, x)
        for run in (step_by_step, in_chunks, within_a_model):
            close(outcome(layer, x, run), expected, run.__name__)
        for run in (sample_by_sample, pure):  # which leave other states
            close(outcome(layer, x, run)[::2], expected[::2], run.__name__)

    def test_batches_with_lengths_equal_single_sequences(self, name: str, x: Tensor) -> None:
        layer = STATEFUL[name]()
        expected = outcome(layer, x, each_to_its_length)
        for run in (with_lengths, whole_sequence_with_lengths, with_lengths_in_chunks):
            close(outcome(layer, x, run), expected, run.__name__)

    def test_samples_are_independent_and_outputs_are_causal(self, name: str, x: Tensor) -> None:
        layer, order = STATEFUL[name](), torch.tensor([2, 0, 1])
        y, states, _ = outcome(layer, x)
        other, other_states, _ = outcome(layer, x[:, order])
        close(other, y[:, order])
        close(other_states, {key: state[order] for key, state in states.items()})
        close(outcome(layer, x[:3])[0], y[:3])

    def test_the_memory_layout_of_the_input_does_not_change_the_result(self, name: str, x: Tensor) -> None:
        views = {
            "transposed": x.transpose(0, 2).contiguous().transpose(0, 2),
            "strided": x.repeat_interleave(2, -1)[..., ::2],
            "expanded batch": x[:, :1].expand(x.shape),
            "time-invariant": x[:1].expand(x.shape),
        }
        layer = STATEFUL[name]()
        learned = [parameter for parameter in layer.parameters() if parameter.requires_grad]
        for layout, view in views.items():
            expected = outcome(layer, view.clone(memory_format=torch.contiguous_format))
            reset_states(layer)
            y = unroll(layer, view)
            close((y, get_states(layer)), expected[:2], layout)
            weight = torch.arange(y.numel()).view(y.shape).sin()
            if learned:  # the input of `unroll` alone needs no gradient, so that its shortcuts are taken
                gradients = torch.autograd.grad((y * weight).sum(), learned, allow_unused=True)
                close(list(gradients), expected[2][1:], layout)

    def test_copies_and_loaded_layers_equal_the_original(self, name: str, x: Tensor) -> None:
        layer = STATEFUL[name]()
        for parameter in layer.parameters():
            parameter.data += 0.05
        unroll(layer, x)
        file = io.BytesIO()
        torch.save(layer, file)
        file.seek(0)
        with torch.device("meta"):
            without_values = STATEFUL[name]()
        loaded = {
            "state_dict": STATEFUL[name](),
            "state_dict in another order": STATEFUL[name](),
            "state_dict after to_empty": without_values.to_empty(device="cpu"),
        }
        copies = loaded | {
            "deepcopy": copy.deepcopy(layer),
            "pickle": pickle.loads(pickle.dumps(layer)),
            "torch.save": torch.load(file, weights_only=False),
        }
        for how, other in loaded.items():
            items = list(layer.state_dict().items())
            other.load_state_dict(dict(reversed(items) if "another" in how else items))
            set_states(other, dict(reversed(get_states(layer).items())))
        with torch.no_grad():
            continued = unroll(layer, x)
            for how, other in copies.items():
                assert torch.equal(unroll(other, x), continued), how
        expected = outcome(layer, x)
        for how, other in copies.items():
            close(outcome(other, x), expected, how)

    def test_single_precision_is_close_to_double_precision(self, name: str, x: Tensor) -> None:
        layer = STATEFUL[name]()
        double = copy.deepcopy(layer).double()
        y, states, gradients = outcome(double, x.double())
        assert {y.dtype} | {state.dtype for state in states.values()} == {torch.float64}
        single = outcome(layer, x)
        assert {single[0].dtype} | {state.dtype for state in single[1].values()} == {torch.float32}
        rounded = y.float(), {key: state.float() for key, state in states.items()}
        torch.testing.assert_close(single[:2], rounded, rtol=1e-3, atol=1e-3)
        for of_single, of_double in zip(single[2], gradients, strict=True):
            torch.testing.assert_close(
                of_single, None if of_double is None else of_double.float(), rtol=1e-3, atol=1e-3
            )

    def test_fixed_and_frozen_parameters_do_not_change_the_result(self, name: str, x: Tensor) -> None:
        layer = STATEFUL[name]()
        y, states, (of_x, *_) = outcome(layer, x)
        layer.requires_grad_(False)
        fixed = outcome(layer, x)
        close(fixed, (y, states, [of_x]))
        freeze(layer)
        close(outcome(layer, x), fixed)


@pytest.mark.parametrize("name", [*SPIKING, "FullyRecurrent", "StatefulRecurrent BRC", "StatefulRecurrent stack"])
def test_the_neurons_may_lie_along_any_axis(name: str) -> None:
    def make(**options: Any) -> nn.Module:
        torch.manual_seed(0)
        return STATEFUL[name](**options)

    images = torch.randn(STEPS, BATCH, SIZE, 3, 2)
    channels_last = images.movedim(2, -1).contiguous().movedim(-1, 2)
    for run in (unroll, with_lengths):
        last = outcome(make(), images.movedim(2, -1), run)
        for dim in (-3, 1):
            y, states, _ = outcome(make(dim=dim), images, run)
            moved = {key: state.movedim(1, -1) for key, state in states.items()}
            close((y.movedim(2, -1), moved), last[:2])
        close(outcome(make(dim=-3), channels_last, run), outcome(make(dim=-3), images, run))
    close(outcome(make(dim=-3), images, with_lengths), outcome(make(dim=-3), images, each_to_its_length))


@pytest.mark.parametrize("name", RECURRENT)
class TestRecurrent:
    def make(self, name: str, **options: Any) -> RecurrentLayer:
        torch.manual_seed(0)
        return RECURRENT[name](SIZE, 5, backend="reference", **options)

    def states_of(self, last: Any) -> tuple[Tensor, ...]:
        return (last,) if isinstance(last, Tensor) else tuple(last)

    def compare(
        self, first: Callable[[Tensor], Any], second: Callable[[Tensor], Any], layer: nn.Module, x: Tensor
    ) -> None:
        """Outputs, last states, and gradients of the input and the parameters."""
        results = []
        for run in (first, second):
            given = x.detach().clone().requires_grad_()
            y, last = run(given)
            parts = [y, *self.states_of(last)]
            loss = sum((part * torch.arange(part.numel()).view(part.shape).sin()).sum() for part in parts)
            results.append((parts, torch.autograd.grad(loss, [given, *layer.parameters()], allow_unused=True)))
        close(results[0], results[1])

    @pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=["one", "stacked"])
    def test_batch_first_and_single_sequences_equal_the_batch(
        self, name: str, options: dict[str, Any], x: Tensor
    ) -> None:
        layer, other = self.make(name, **options), self.make(name, batch_first=True, **options)

        def one_by_one(x: Tensor) -> Any:
            runs = [layer(x[:, n]) for n in range(x.shape[1])]
            states = zip(*(self.states_of(last) for _, last in runs), strict=True)
            return torch.stack([y for y, _ in runs], 1), tuple(torch.stack(each, 1) for each in states)

        def batch_first(x: Tensor) -> Any:
            y, last = layer_of(other)(x.transpose(0, 1))
            return y.transpose(0, 1), last

        def layer_of(other: RecurrentLayer) -> RecurrentLayer:
            for own, theirs in zip(layer.parameters(), other.parameters(), strict=True):
                assert torch.equal(own, theirs)
            other._parameters.update(layer._parameters)
            return other

        self.compare(layer, one_by_one, layer, x)
        self.compare(layer, batch_first, layer, x)

    def test_chunks_equal_one_pass(self, name: str, x: Tensor) -> None:
        layer = self.make(name, num_layers=2)

        def chunks(x: Tensor) -> Any:
            first, state = layer(x[:2])
            second, state = layer(x[2:5], state)
            third, state = layer(x[5:], state)
            return torch.cat([first, second, third]), state

        self.compare(layer, chunks, layer, x)

    def test_packed_and_padded_sequences_equal_single_sequences(self, name: str, x: Tensor) -> None:
        layer, lengths = self.make(name, num_layers=2, bidirectional=True), (3, 6, 1)

        def packed(x: Tensor) -> Any:
            sequences = pack_sequence([x[:t, n] for n, t in enumerate(lengths)], enforce_sorted=False)
            y, last = layer(sequences)
            return pad_packed_sequence(y)[0], last

        def padded(x: Tensor) -> Any:
            beyond = torch.arange(STEPS).view(-1, 1, 1) >= torch.tensor(lengths).view(1, -1, 1)
            return layer(x.masked_fill(beyond, torch.nan), lengths=torch.tensor(lengths))

        def apart(x: Tensor) -> Any:
            runs = [layer(x[:t, n : n + 1]) for n, t in enumerate(lengths)]
            outputs = [nn.functional.pad(y, (0, 0, 0, 0, 0, STEPS - len(y))) for y, _ in runs]
            states = zip(*(self.states_of(last) for _, last in runs), strict=True)
            return torch.cat(outputs, 1), tuple(torch.cat(each, 1) for each in states)

        self.compare(packed, apart, layer, x)
        self.compare(padded, apart, layer, x)

    def test_the_backward_direction_is_the_forward_one_in_reversed_time(self, name: str, x: Tensor) -> None:
        layer, single = self.make(name, bidirectional=True), self.make(name)
        state = {key.removesuffix("_reverse"): value for key, value in layer.state_dict().items() if "_reverse" in key}
        single.load_state_dict(state)
        y, _ = layer(x)
        close(y[..., 5:], single(x.flip(0))[0].flip(0))

    def test_copies_precisions_and_layouts_give_the_same_output(self, name: str, x: Tensor) -> None:
        layer = self.make(name, num_layers=2)
        fresh = self.make(name, num_layers=2)
        for parameter in layer.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        fresh.load_state_dict(dict(reversed(layer.state_dict().items())))
        y, last = layer(x)
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), fresh):
            assert torch.equal(other(x)[0], y)
        for view in (x.transpose(0, 2).contiguous().transpose(0, 2), x.repeat_interleave(2, -1)[..., ::2]):
            close(layer(view), (y, last))
        still = x[:1].expand(x.shape)
        close(layer(still), layer(still.contiguous()))
        double, _ = copy.deepcopy(layer).double()(x.double())
        assert double.dtype == torch.float64
        torch.testing.assert_close(double.float(), y, rtol=1e-3, atol=1e-4)
        layer.requires_grad_(False)
        assert torch.equal(layer(x)[0], y) and not layer(x)[0].requires_grad

    def test_a_cell_step_by_step_equals_the_layer(self, name: str, x: Tensor) -> None:
        layer, cell = self.make(name), vars(all_layers)[f"{name}Cell"](SIZE, 5)
        cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
        state, outputs = None, []
        stateful = StatefulRecurrent(layer)
        close(step_by_step(stateful, x), layer(x)[0])
        for step in x:
            state = cell(step, state)
            outputs.append(self.states_of(state)[0])
        y, last = layer(x)
        close([each.squeeze(0) for each in self.states_of(last)], list(self.states_of(state)))
        if name not in ("LRU", "SRC"):  # whose output is a function of the state, which the cell does not give
            close(y, torch.stack(outputs))


PLASTIC: dict[str, Callable[[], StatefulModule]] = {
    "LIF": lambda: plastic.LIF(SIZE, plastic.LinearDynamics(0.9, 0.5), refractory=1),
    "IF": lambda: plastic.IF(SIZE, scale=0.5),
}


@pytest.mark.parametrize("name", PLASTIC)
def test_plastic_neurons_give_the_same_result_in_steps_chunks_and_models(name: str, x: Tensor) -> None:
    layer, results = PLASTIC[name](), []
    for run in (unroll, step_by_step, within_a_model, in_chunks):
        reset_states(layer)
        results.append((run(layer, 3 * x.abs()), get_states(layer)))
    assert results[0][0].any()
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])


@pytest.mark.parametrize("kind", [all_layers.SpatialLinear, all_layers.SpatialConv2d])
def test_positions_do_not_change_the_output(kind: type[nn.Module]) -> None:
    layer = kind(SIZE, 3) if kind is all_layers.SpatialLinear else kind(SIZE, 3, 2)
    x = torch.randn(5, SIZE, *(() if kind is all_layers.SpatialLinear else (4, 4)))
    plain = (nn.Linear(SIZE, 3) if kind is all_layers.SpatialLinear else nn.Conv2d(SIZE, 3, 2)).requires_grad_(False)
    plain.load_state_dict({key: value for key, value in layer.state_dict().items() if key != "positions"})
    assert torch.equal(layer(x), plain(x))
    close(torch.cat([layer(each) for each in x.split(1)]), plain(x))
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), copy.deepcopy(layer)(x))
    torch.testing.assert_close(copy.deepcopy(layer).double()(x.double()).float(), plain(x))
