"""BRC, NBRC, PeepholeLSTM, GRU and LSTM against naive loops over time, layers and directions, and against the interface
of nn.GRU."""

import copy
import io
import itertools
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, unpack_sequence

from bionets.layers import BRC, GRU, LSTM, NBRC, PeepholeLSTM

INPUT, HIDDEN, BATCH, STEPS = 3, 4, 3, 5


def make(kind: type[nn.Module], *, input_size: int = INPUT, backend: str = "reference", **options: object) -> nn.Module:
    """A layer in float64 with every parameter drawn at random, so that no row of any of them could stand in for
    another."""
    layer = kind(input_size, HIDDEN, backend=backend, dtype=torch.float64, **options)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.7)
    return layer


def random_states(layer: nn.Module, batch: int = BATCH, **options: bool) -> tuple[Tensor, ...]:
    rows = layer.num_layers * (1 + layer.bidirectional)
    return tuple(torch.randn(rows, batch, HIDDEN, dtype=torch.float64, **options) for _ in layer.recurrence.states)


def as_given(states: tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    return states if len(states) > 1 else states[0]


def as_tuple(states: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (states,) if isinstance(states, Tensor) else states


def assert_close(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)


def gradients(outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Of a sum that weighs every element of the outputs differently."""
    generator = torch.Generator().manual_seed(0)
    total = sum((y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum() for y in outputs)
    return torch.autograd.grad(total, inputs)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("num_layers", "bidirectional", "bias"),
    [(1, False, True), (1, False, False), (1, True, True), (2, True, True), (3, False, True), (3, True, False)],
)
def test_values_and_gradients_are_those_of_the_naive_loop(
    kind: type[nn.Module], naive: Callable, num_layers: int, bidirectional: bool, bias: bool
) -> None:
    layer = make(kind, num_layers=num_layers, bidirectional=bidirectional, bias=bias)
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64, requires_grad=True)
    h0 = random_states(layer, requires_grad=True)
    output, h_n = layer(x, as_given(h0))
    expected, expected_h_n = naive(layer, list(x.unbind(1)), h0)
    expected = torch.stack(expected, dim=1)
    assert_close((output, *as_tuple(h_n)), (expected, *expected_h_n))
    leaves = (x, *h0, *layer.parameters())
    assert_close(gradients((output, *as_tuple(h_n)), leaves), gradients((expected, *expected_h_n), leaves))


def test_states_start_at_zero(kind: type[nn.Module]) -> None:
    layer = make(kind, num_layers=2)
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64)
    zeros = tuple(torch.zeros_like(h) for h in random_states(layer))
    assert_close(layer(x), layer(x, as_given(zeros)))


@pytest.mark.parametrize("lengths", [[5, 3, 1], [1, 5, 3, 5], [2, 2]], ids=["sorted", "unsorted", "equal"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_sequences_equal_naive_loops_over_each_sequence(
    kind: type[nn.Module], naive: Callable, lengths: list[int], bidirectional: bool
) -> None:
    layer = make(kind, num_layers=2, bidirectional=bidirectional)
    sequences = [torch.randn(n, INPUT, dtype=torch.float64, requires_grad=True) for n in lengths]
    h0 = random_states(layer, len(lengths), requires_grad=True)
    packed = pack_sequence(sequences, enforce_sorted=lengths == sorted(lengths, reverse=True))
    output, h_n = layer(packed, as_given(h0))
    expected, expected_h_n = naive(layer, sequences, h0)
    assert_close((*unpack_sequence(output), *as_tuple(h_n)), (*expected, *expected_h_n))
    leaves = (*sequences, *h0, *layer.parameters())
    assert_close(
        gradients((*unpack_sequence(output), *as_tuple(h_n)), leaves), gradients((*expected, *expected_h_n), leaves)
    )


@pytest.mark.parametrize("lengths", [[5, 3, 1], [3, 5, 5, 1]])
def test_packed_output_has_the_layout_of_gru(kind: type[nn.Module], lengths: list[int]) -> None:
    packed = pack_sequence(
        [torch.randn(n, INPUT, dtype=torch.float64) for n in lengths],
        enforce_sorted=lengths == sorted(lengths, reverse=True),
    )
    output, _ = make(kind, bidirectional=True)(packed)
    gru, _ = nn.GRU(INPUT, HIDDEN, bidirectional=True, dtype=torch.float64)(packed)
    assert output.data.shape == gru.data.shape
    for field in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        ours, theirs = getattr(output, field), getattr(gru, field)
        assert (ours is None and theirs is None) or torch.equal(ours, theirs)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_batch_first_only_swaps_the_first_two_dimensions(kind: type[nn.Module], bidirectional: bool) -> None:
    layer = make(kind, num_layers=2, bidirectional=bidirectional)
    swapped = make(kind, num_layers=2, bidirectional=bidirectional, batch_first=True)
    swapped.load_state_dict(layer.state_dict())
    x, h0 = torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64), as_given(random_states(layer))
    output, h_n = layer(x, h0)
    output_swapped, h_n_swapped = swapped(x.transpose(0, 1), h0)
    assert_close(output_swapped.transpose(0, 1), output)
    assert_close(h_n_swapped, h_n)


@pytest.mark.parametrize("batch_first", [False, True])
def test_unbatched_input_is_a_batch_of_one(kind: type[nn.Module], batch_first: bool) -> None:
    layer = make(kind, num_layers=2, bidirectional=True, batch_first=batch_first)
    x, h0 = torch.randn(STEPS, INPUT, dtype=torch.float64), random_states(layer, 1)
    output, h_n = layer(x, as_given(tuple(h.squeeze(1) for h in h0)))
    output_of_one, h_n_of_one = layer(x.unsqueeze(0 if batch_first else 1), as_given(h0))
    assert_close(output, output_of_one.squeeze(0 if batch_first else 1))
    assert_close(as_tuple(h_n), tuple(h.squeeze(1) for h in as_tuple(h_n_of_one)))


def test_chunks_that_pass_on_the_state_equal_one_pass(kind: type[nn.Module]) -> None:
    layer = make(kind, num_layers=2)
    x = torch.randn(7, BATCH, INPUT, dtype=torch.float64)
    whole, h_n = layer(x)
    state, parts = None, []
    for chunk in x.split([3, 1, 3]):
        part, state = layer(chunk, state)
        parts.append(part)
    assert_close((torch.cat(parts), state), (whole, h_n))


def test_dropout_acts_between_layers_while_training(kind: type[nn.Module], naive: Callable) -> None:
    layer = make(kind, num_layers=2, dropout=0.5)
    first, second = make(kind), make(kind, input_size=HIDDEN)
    for k, single in enumerate((first, second)):
        own = {name.replace(f"_l{k}", "_l0"): p for name, p in layer.state_dict().items() if f"_l{k}" in name}
        single.load_state_dict(own)
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64)
    torch.manual_seed(1)
    trained, _ = layer.train()(x)
    torch.manual_seed(1)
    assert_close(trained, second(nn.functional.dropout(first(x)[0], 0.5))[0])
    layer.eval()
    assert_close(layer(x)[0], second(first(x)[0])[0])
    assert not torch.allclose(trained, layer(x)[0])


def test_dropout_on_a_single_layer_warns(kind: type[nn.Module]) -> None:
    with pytest.warns(UserWarning, match="num_layers=1"):
        kind(INPUT, HIDDEN, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(INPUT, HIDDEN, 2, dropout=0.5)


@settings(max_examples=40)
@given(
    steps=st.integers(1, 4),
    batch=st.none() | st.integers(1, 4),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    num_layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    batch_first=st.booleans(),
    packed=st.booleans(),
    kind=st.sampled_from([BRC, NBRC, PeepholeLSTM, GRU, LSTM]),
)
def test_shapes_are_those_of_gru_and_lstm(
    steps: int,
    batch: int | None,
    sizes: tuple[int, int],
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
    packed: bool,
    kind: type[nn.Module],
) -> None:
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "batch_first": batch_first}
    ours = kind(*sizes, **options, backend="reference")
    theirs = (nn.LSTM if len(kind.recurrence.states) == 2 else nn.GRU)(*sizes, **options)
    shape = (steps,) if batch is None else (batch, steps) if batch_first else (steps, batch)
    x = torch.randn(*shape, sizes[0])
    if packed and batch is not None:
        x = pack_sequence([torch.randn(1 + b % steps, sizes[0]) for b in range(batch)], enforce_sorted=False)
    (output, states), (expected, expected_states) = ours(x), theirs(x)
    if isinstance(output, PackedSequence):
        output, expected = output.data, expected.data
    shapes = [t.shape for t in (output, *as_tuple(states))]
    assert shapes == [t.shape for t in (expected, *as_tuple(expected_states))]
    again, _ = ours(x, states)
    assert type(again) is type(ours(x)[0])


def test_empty_sequences_and_batches_keep_the_state(kind: type[nn.Module]) -> None:
    layer = make(kind, num_layers=2)
    h0 = random_states(layer)
    output, h_n = layer(torch.empty(0, BATCH, INPUT, dtype=torch.float64), as_given(h0))
    assert output.shape == (0, BATCH, HIDDEN)
    assert_close(as_tuple(h_n), h0)
    output, h_n = layer(torch.empty(STEPS, 0, INPUT, dtype=torch.float64))
    assert output.shape == (STEPS, 0, HIDDEN) and as_tuple(h_n)[0].shape == (2, 0, HIDDEN)


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_gradcheck(kind: type[nn.Module], options: dict[str, object]) -> None:
    layer = make(kind, **options)
    x = torch.randn(3, 2, INPUT, dtype=torch.float64, requires_grad=True)
    h0 = random_states(layer, 2, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        states, parameters = rest[: len(h0)], rest[len(h0) :]
        output, h_n = torch.func.functional_call(
            layer, dict(zip(names, parameters, strict=True)), (x, as_given(states))
        )
        return output, *as_tuple(h_n)

    assert torch.autograd.gradcheck(run, (x, *h0, *values), fast_mode=True)


@pytest.mark.parametrize(
    ("dtype", "packed", "num_layers"),
    [
        (torch.float32, False, 1),
        pytest.param(torch.float32, True, 2, marks=pytest.mark.slow),
        pytest.param(torch.float64, True, 2, marks=pytest.mark.slow),
    ],
)
def test_automatic_backend_agrees_with_reference(
    kind: type[nn.Module], dtype: torch.dtype, packed: bool, num_layers: int
) -> None:
    reference = make(kind, num_layers=num_layers, bidirectional=packed).to(dtype)
    automatic = make(kind, num_layers=num_layers, bidirectional=packed, backend="auto").to(dtype)
    automatic.load_state_dict(reference.state_dict())
    x = torch.randn(STEPS, BATCH, INPUT, dtype=dtype)
    results = []
    for layer in (reference, automatic):
        output, h_n = layer(pack_padded_sequence(x, [2, 5, 3], enforce_sorted=False) if packed else x)
        values = (output.data if packed else output, *as_tuple(h_n))
        results.append(values + gradients(values, tuple(layer.parameters())))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


def test_parameters_have_the_names_and_shapes_of_the_stacked_gates(kind: type[nn.Module]) -> None:
    layer = kind(INPUT, HIDDEN, 2, bidirectional=True)
    gates = 4 if kind in (PeepholeLSTM, LSTM) else 3
    two_biases = dict.fromkeys(("bias_ih", "bias_hh"), (gates * HIDDEN,))
    blocks = {
        BRC: {"weight_hh": (2 * HIDDEN,), "bias": (2 * HIDDEN,)},
        NBRC: {"weight_hh": (2 * HIDDEN, HIDDEN), "bias": (2 * HIDDEN,)},
        PeepholeLSTM: {
            "weight_hh": (4 * HIDDEN, HIDDEN),
            "weight_ch": (3 * HIDDEN, HIDDEN),
            "bias": (4 * HIDDEN,),
        },
        GRU: {"weight_hh": (3 * HIDDEN, HIDDEN), **two_biases},
        LSTM: {"weight_hh": (4 * HIDDEN, HIDDEN), **two_biases},
    }[kind]
    expected = {}
    for k, direction in itertools.product(range(2), ("", "_reverse")):
        expected[f"weight_ih_l{k}{direction}"] = (gates * HIDDEN, 2 * HIDDEN if k else INPUT)
        expected |= {f"{name}_l{k}{direction}": shape for name, shape in blocks.items()}
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == expected


def test_without_bias_there_is_no_bias_parameter(kind: type[nn.Module]) -> None:
    assert not any("bias" in name for name in kind(INPUT, HIDDEN, bias=False).state_dict())


def test_copies_and_loaded_weights_give_the_same_output(kind: type[nn.Module]) -> None:
    layer = make(kind, num_layers=2, bidirectional=True)
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64)
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    loaded = make(kind, num_layers=2, bidirectional=True)
    loaded.load_state_dict(torch.load(buffer, weights_only=True))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded):
        assert_close(twin(x), layer(x))


def test_dtype_and_device_follow_the_module(kind: type[nn.Module]) -> None:
    layer = kind(INPUT, HIDDEN, backend="reference").double()
    output, h_n = layer(torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64))
    assert output.dtype == as_tuple(h_n)[0].dtype == torch.float64
    assert all(p.is_meta for p in kind(INPUT, HIDDEN, device="meta").parameters())
    assert all(p.dtype == torch.bfloat16 for p in kind(INPUT, HIDDEN, dtype=torch.bfloat16).parameters())


def test_autocast_keeps_the_state_in_float32(kind: type[nn.Module]) -> None:
    layer, x = kind(INPUT, HIDDEN, backend="reference"), torch.randn(STEPS, BATCH, INPUT)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, h_n = layer(x)
    assert all(state.dtype == torch.float32 for state in as_tuple(h_n))
    torch.testing.assert_close(output.float(), layer(x)[0], rtol=0.05, atol=0.02)


def test_torch_compile_traces_the_whole_layer(kind: type[nn.Module]) -> None:
    layer = make(kind, num_layers=2)
    x = torch.randn(3, 2, INPUT, dtype=torch.float64)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    assert_close(compiled(x), layer(x))


def test_same_input_gives_the_same_bits(kind: type[nn.Module]) -> None:
    layer = make(kind, num_layers=2)
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64)
    assert torch.equal(layer(x)[0], layer(x)[0])


def test_reset_parameters_initialises_every_parameter(kind: type[nn.Module]) -> None:
    layer = kind(INPUT, HIDDEN, 2)
    torch.manual_seed(3)
    layer.reset_parameters()
    before = copy.deepcopy(layer.state_dict())
    nn.init.constant_(layer.weight_ih_l1, 9.0)
    torch.manual_seed(3)
    layer.reset_parameters()
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_a_single_state_that_is_an_array_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="BRC: h0 must be a tensor, got ndarray"):
        BRC(3, 4)(torch.randn(5, 2, 3), np.zeros((1, 2, 4)))


def test_repr_is_that_of_gru(kind: type[nn.Module]) -> None:
    options = {"num_layers": 2, "bias": False, "batch_first": True, "dropout": 0.5, "bidirectional": True}
    assert repr(kind(3, 4)) == repr(nn.GRU(3, 4)).replace("GRU", kind.__name__)
    assert repr(kind(3, 4, **options)) == repr(nn.GRU(3, 4, **options)).replace("GRU", kind.__name__)
    assert "initialisation='chrono'" in repr(kind(3, 4, initialisation="chrono", chrono_steps=10))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda kind: kind(0, 4), ValueError, "input_size must be greater than zero"),
        (lambda kind: kind(3, -1), ValueError, "hidden_size must be greater than zero"),
        (lambda kind: kind(3, 4.0), TypeError, "hidden_size must be an integer"),
        (lambda kind: kind(3, 4, 0), ValueError, "num_layers must be greater than zero"),
        (lambda kind: kind(3, 4, 2, dropout=1.5), ValueError, "dropout"),
        (lambda kind: kind(3, 4, 2, dropout="high"), ValueError, "dropout"),
        (lambda kind: kind(3, 4)(torch.randn(5, 2, 7)), ValueError, "input_size=3, got 7"),
        (lambda kind: kind(3, 4)(torch.randn(1, 5, 2, 3)), ValueError, "2-D or 3-D, got 4-D"),
        (lambda kind: kind(3, 4)(torch.randn(5, 2, 3).double()), ValueError, "float64 but the weights are"),
        (lambda kind: kind(3, 4)(torch.randn(5, 2, 3), states(kind, 1, 3, 4)), ValueError, r"h0 of shape \(1, 2, 4\)"),
        (lambda kind: kind(3, 4)(torch.randn(5, 2, 3), states(kind, 2, 4)), ValueError, r"got \(2, 4\)"),
        (lambda kind: kind(3, 4)(torch.randn(5, 3), states(kind, 1, 1, 4)), ValueError, r"h0 of shape \(1, 4\)"),
        (lambda kind: kind(3, 4)(torch.randn(5, 2, 3), 3 * (torch.zeros(1, 2, 4),)), ValueError, "initial state"),
        (
            lambda kind: kind(3, 4)(torch.randn(5, 2, 3), states(kind, 1, 2, 4, dtype=torch.float64)),
            ValueError,
            "h0 is torch.float64 but the weights are torch.float32",
        ),
        (
            lambda kind: kind(3, 4)(torch.randn(5, 2, 3), states(kind, 1, 2, 4, dtype=torch.int64)),
            ValueError,
            "h0 is torch.int64 but the weights are torch.float32",
        ),
        (lambda kind: kind(3, 4)(pack_sequence([torch.randn(5, 7)])), ValueError, "input_size=3, got 7"),
        (lambda kind: kind(3, 4)(np.ones((5, 2, 3))), TypeError, "the input must be a tensor, got ndarray"),
        (lambda kind: kind(3, 4)([[[1.0] * 3]], lengths=torch.tensor([1])), TypeError, "must be a tensor, got list"),
        (
            lambda kind: kind(3, 4)(torch.randn(5, 2, 3), [np.zeros((1, 2, 4))] * len(kind.recurrence.states)),
            TypeError,
            "h0 must be a tensor, got ndarray",
        ),
        (
            lambda kind: kind(3, 4)(torch.randn(5, 2, 3), (None,) * len(kind.recurrence.states)),
            TypeError,
            "h0 must be a tensor, got NoneType",
        ),
        (
            lambda kind: kind(3, 4, batch_first=True)(torch.randn(2, 5, 3), reset=torch.zeros(5, 2, dtype=torch.bool)),
            ValueError,
            r"reset must be \[2, 5\] bools, got \[5, 2\]",
        ),
        (
            lambda kind: kind(3, 4, batch_first=True)(torch.randn(2, 5, 3), reset=[[False] * 5] * 2),
            TypeError,
            "reset must be a tensor of bools, got a list",
        ),
    ],
)
def test_bad_arguments_give_a_one_line_error(
    kind: type[nn.Module], build: Callable, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        build(kind)
    assert "\n" not in str(caught.value)


def states(kind: type[nn.Module], *shape: int, dtype: torch.dtype = torch.float32) -> Tensor | tuple[Tensor, ...]:
    return as_given((torch.zeros(shape, dtype=dtype),) * len(kind.recurrence.states))


def test_gates_of_calls_in_several_threads_are_not_mixed() -> None:
    layer, lengths = BRC(3, 4, num_layers=2), range(2, 10)
    inputs = [torch.randn(length, 2, 3) for length in lengths]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: layer(x, return_gates=True)[2], 20 * inputs))
    for gates, x in zip(found, 20 * inputs, strict=True):
        assert [len(each.a) for each in gates] == 2 * [len(x)]
