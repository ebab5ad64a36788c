"""Stigmergic memory against a naive re-statement of its equations, step by step; and what the equations promise."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune

from bionets.layers import RecurrentStigmergicMemory, StigmergicMemory, StigmergicPerceptron, reset_states, unroll
from bionets.layers.stigmergic.stigmergic_memory import smooth_clamp

BACKENDS = ("reference", "auto")
CLAMPS = ((0.0, 10.0), (-1.0, 2.0), (0.5, None), (None, 1.5), (None, None))
both_kinds = pytest.mark.parametrize("kind", [StigmergicMemory, RecurrentStigmergicMemory])


def naive_clamp(s: Tensor, lo: float | None, hi: float | None) -> Tensor:
    if lo is not None and hi is not None:
        u = (s - lo) / (hi - lo)
        return (hi - lo) / (1 + torch.exp(-(4 * u - 2))) + lo
    if lo is not None:
        return torch.log(1 + torch.exp(s - lo)) + lo
    if hi is not None:
        return hi - torch.log(1 + torch.exp(hi - s))
    return s


def naive(layer: StigmergicMemory, x: Tensor, s: Tensor) -> Tensor:
    """All memories of a sequence, by calling the submodules as the paper writes them."""
    memories = []
    for x_t in x:
        to_mark, to_tick = x_t[..., : layer.mark_input_size], x_t[..., x_t.size(-1) - layer.tick_input_size :]
        if isinstance(layer, RecurrentStigmergicMemory):
            mark = layer.mark_net(torch.cat([to_mark, layer.mark_recurrence(s)], dim=-1))
            tick = layer.tick_net(torch.cat([to_tick, layer.tick_recurrence(s)], dim=-1))
        else:
            mark, tick = layer.mark_net(to_mark), layer.tick_net(to_tick)
        s = naive_clamp(s + mark - tick, layer.clamp_min, layer.clamp_max)
        memories.append(s)
    return torch.stack(memories)


def make(kind: type[StigmergicMemory], *sizes: int, **options: object) -> StigmergicMemory:
    """In float64, with every parameter random, so that none could stand in for another."""
    torch.manual_seed(0)
    layer = kind(*sizes, **options).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.6)
    return layer


def assert_like_naive(layer: StigmergicMemory, x: Tensor, s: Tensor, backend: str) -> None:
    memories, (last,) = layer.over_time(x, (s,), backend=backend)
    expected = naive(layer, x, s)
    weights = torch.randn(expected.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    leaves = (x, s, *layer.parameters())
    torch.testing.assert_close((memories, last), (expected, expected[-1]), rtol=1e-9, atol=1e-10)
    found = torch.autograd.grad((memories * weights).sum() + (last**2).sum(), leaves)
    wanted = torch.autograd.grad((expected * weights).sum() + (expected[-1] ** 2).sum(), leaves)
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-9)


@both_kinds
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("hidden_layers", "hidden_size"), [(0, 5), (1, 6), (1, 2), (2, 5), (3, 3)])
def test_values_and_gradients_are_those_of_the_equations(
    kind: type[StigmergicMemory], backend: str, hidden_layers: int, hidden_size: int
) -> None:
    layer = make(kind, 3, 4, hidden_layers, hidden_size)
    x = torch.randn(6, 5, 3, dtype=torch.float64, requires_grad=True)
    s = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert_like_naive(layer, x, s, backend)


@both_kinds
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("marks", "ticks"), [(2, 3), (3, 1)])
@pytest.mark.parametrize("hidden_layers", [0, 2])
def test_marks_and_ticks_may_have_separate_inputs(
    kind: type[StigmergicMemory], backend: str, marks: int, ticks: int, hidden_layers: int
) -> None:
    layer = make(kind, marks, 4, hidden_layers, 5, tick_input_size=ticks)
    x = torch.randn(6, 5, marks + ticks, dtype=torch.float64, requires_grad=True)
    s = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert_like_naive(layer, x, s, backend)
    reset_states(layer)
    unroll(layer, x)
    with pytest.raises(ValueError, match=f"must be input_size={marks + ticks}"):
        layer(torch.zeros(5, marks, dtype=torch.float64))


@both_kinds
@pytest.mark.parametrize("clamp", CLAMPS)
def test_every_clamp_follows_its_equation(
    kind: type[StigmergicMemory], clamp: tuple[float | None, float | None]
) -> None:
    layer = make(kind, 3, 4, clamp_min=clamp[0], clamp_max=clamp[1])
    x = torch.randn(6, 5, 3, dtype=torch.float64, requires_grad=True)
    s = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert_like_naive(layer, x, s, "auto")


@pytest.mark.parametrize("hidden_layers", [0, 1, 2])
def test_gradcheck(hidden_layers: int) -> None:
    layer = make(RecurrentStigmergicMemory, 2, 3, hidden_layers, 4)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    s = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    parameters = dict(layer.named_parameters())

    def run(x: Tensor, s: Tensor, *values: Tensor) -> Tensor:
        replaced = dict(zip(parameters, values, strict=True))
        return torch.func.functional_call(Whole(layer), {f"layer.{k}": v for k, v in replaced.items()}, (x, s))

    assert torch.autograd.gradcheck(run, (x, s, *parameters.values()))


class Whole(nn.Module):
    def __init__(self, layer: StigmergicMemory) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        return self.layer.over_time(x, (s,), backend="reference")[0]


@settings(max_examples=15)
@given(
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    hidden=st.tuples(st.integers(0, 2), st.integers(1, 5)),
    steps=st.integers(1, 5),
    batch=st.integers(1, 4),
)
def test_step_by_step_and_whole_sequence_agree_for_any_size(
    sizes: tuple[int, int], hidden: tuple[int, int], steps: int, batch: int
) -> None:
    layer = make(RecurrentStigmergicMemory, *sizes, *hidden)
    x = torch.randn(steps, batch, sizes[0], dtype=torch.float64)
    one_by_one = torch.stack([layer(x_t) for x_t in x])
    reset_states(layer)
    whole = layer(x, whole_sequence=True)
    torch.testing.assert_close(whole, one_by_one, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(whole, naive(layer, x, torch.zeros(batch, sizes[1]).double()), rtol=1e-9, atol=1e-10)


@both_kinds
def test_any_batch_shape_is_accepted(kind: type[StigmergicMemory]) -> None:
    layer = make(kind, 3, 4, 1, 5)
    x = torch.randn(6, 2, 3, 3, dtype=torch.float64)
    expected = naive(layer, x.flatten(1, 2), torch.zeros(6, 4).double()).view(6, 2, 3, 4)
    torch.testing.assert_close(unroll(layer, x), expected)
    reset_states(layer)
    torch.testing.assert_close(layer(x[0, 0, 0]), expected[0, 0, 0])


def test_an_undriven_memory_decays_as_predicted() -> None:
    """e' = e - (4/3) e^3 / (hi - lo)^2 around the middle, so 1 / e^2 grows by 8 / (3 (hi - lo)^2) a step."""
    layer = make(StigmergicMemory, 1, 5)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    start = torch.tensor([[-2.0, -1.0, 0.0, 0.5, 2.0]], dtype=torch.float64)
    memories, _ = layer.over_time(torch.zeros(400, 1, 1, dtype=torch.float64), (5 + start,))
    first = memories[0] - 5
    torch.testing.assert_close(first, start - 0.0133 * start**3, atol=7e-3, rtol=0)
    assert memories[:, 0, 2].eq(5).all()
    last = memories[-1] - 5
    predicted = start / torch.sqrt(1 + 400 * start**2 * 8 / 300)
    torch.testing.assert_close(last, predicted, rtol=0.02, atol=1e-9)
    slower = smooth_clamp(torch.tensor(51.0).double(), 0.0, 100.0) - 50
    assert math.isclose(1 - slower, 4 / 3 / 100**2, rel_tol=1e-3)


def test_smooth_clamp_is_monotonic_and_stays_within_its_bounds() -> None:
    s = torch.linspace(-50, 50, 101, dtype=torch.float64)
    for lo, hi in CLAMPS:
        clamped = smooth_clamp(s, lo, hi)
        assert lo is None or (clamped >= lo).all()
        assert hi is None or (clamped <= hi).all()
        assert (clamped.diff() >= 0).all()
    torch.testing.assert_close(smooth_clamp(s, 0.0, None)[s > 40], s[s > 40])
    torch.testing.assert_close(smooth_clamp(s, None, 0.0)[s < -40], s[s < -40])


def introduction() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        RecurrentStigmergicMemory(28, 15, hidden_layers=1, hidden_size=20),
        nn.Linear(15, 10),
        nn.PReLU(),
        nn.Linear(10, 10),
        nn.PReLU(),
    )


def test_the_published_network_has_3144_parameters() -> None:
    net = introduction()
    assert sum(parameter.numel() for parameter in net.parameters()) == 3144
    memory = net[0]
    assert [type(layer) for layer in memory.mark_net] == [nn.Linear, nn.PReLU, nn.Linear, nn.ReLU]
    assert [type(layer) for layer in memory.tick_net] == [nn.Linear, nn.PReLU, nn.Linear, nn.ReLU]
    assert isinstance(memory.mark_recurrence, nn.Linear) and isinstance(memory.tick_recurrence, nn.Linear)


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    layer, x = RecurrentStigmergicMemory(28, 15, 1, 20), torch.rand(28, 97, 28)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            output, _ = layer.over_time(x, backend="cpu")
            results.append((output, *torch.autograd.grad(output.square().sum(), layer.parameters())))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_published_network_trains_equally_step_by_step_and_over_sequences() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.rand(28, 8, 28, generator=generator), torch.rand(8, 10, generator=generator)) for _ in range(5)]

    def train(one_by_one: bool) -> list[Tensor]:
        net = introduction()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
        for x, target in itertools.chain(batches, batches):
            reset_states(net)
            if one_by_one:
                for x_t in x:
                    prediction = net(x_t)
            else:
                prediction = unroll(net, x)[-1]
            optimizer.zero_grad()
            nn.functional.mse_loss(prediction, target).backward()
            optimizer.step()
        return [parameter.detach() for parameter in net.parameters()]

    torch.testing.assert_close(train(one_by_one=True), train(one_by_one=False), rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": 0}, "input_size"),
        ({"memory_size": -1}, "memory_size"),
        ({"hidden_layers": -1}, "hidden_layers"),
        ({"clamp_min": 3.0, "clamp_max": 3.0}, "clamp_min must be below clamp_max"),
        ({"clamp_max": math.inf}, "clamp_max must be a finite number, or None for no limit, got inf"),
        ({"clamp_min": math.nan, "clamp_max": None}, "clamp_min must be a finite number, or None for no limit"),
        ({"clamp_min": "0"}, "clamp_min must be a finite number, or None for no limit, got '0'"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StigmergicMemory(**{"input_size": 2, "memory_size": 3, **arguments})


def test_an_input_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="input_size=3"):
        RecurrentStigmergicMemory(3, 4)(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"expected states of shape memory \[2, 4\], got \[\[2, 5\]\]"):
        StigmergicMemory(3, 4).over_time(torch.zeros(1, 2, 3), (torch.zeros(2, 5),))


@pytest.mark.parametrize("kind", [StigmergicMemory, RecurrentStigmergicMemory])
def test_hooks_pruning_and_replaced_layers_of_the_networks_take_effect(kind: type[StigmergicMemory]) -> None:
    """The weights can be read without calling the layers, but not if hooks or other wrappers change the calls."""
    torch.manual_seed(0)
    x = torch.randn(5, 2, 3)

    def steps(memory: StigmergicMemory, x: Tensor) -> Tensor:
        state, outputs = torch.zeros(2, 4), []
        for x_t in x:
            mark, tick = memory.marks_and_ticks(x_t, state)
            state = smooth_clamp(state + mark - tick, memory.clamp_min, memory.clamp_max)
            outputs.append(state)
        return torch.stack(outputs)

    def hooked(memory: StigmergicMemory) -> None:
        memory.mark_net[0].register_forward_hook(lambda layer, inputs, output: 2 * output)

    def pruned(memory: StigmergicMemory) -> None:
        prune.l1_unstructured(memory.tick_net[0], "weight", 0.5)

    def replaced(memory: StigmergicMemory) -> None:
        memory.mark_net[1] = nn.Tanh()

    for change in (lambda memory: None, hooked, pruned, replaced):
        memory = kind(3, 4, hidden_layers=1, hidden_size=5)
        change(memory)
        optimiser = torch.optim.SGD(memory.parameters(), 0.5)
        for _ in range(3):
            optimiser.zero_grad()
            y, _ = memory.over_time(x)
            torch.testing.assert_close(y, steps(memory, x))
            y.square().mean().backward()
            optimiser.step()


def test_networks_of_other_sizes_and_without_biases_take_effect() -> None:
    x = torch.randn(5, 2, 3)
    changes = (
        lambda memory: setattr(memory, "mark_recurrence", nn.Linear(4, 4, bias=False)),
        lambda memory: setattr(memory.tick_net[0], "bias", None),
        lambda memory: memory.mark_net.__setitem__(1, nn.PReLU(2)),
        lambda memory: [memory.mark_net.__setitem__(n, nn.Linear(*size)) for n, size in ((0, (7, 9)), (2, (9, 4)))],
    )
    for change in changes:
        memory = RecurrentStigmergicMemory(3, 4, hidden_layers=1, hidden_size=2)
        change(memory)
        torch.testing.assert_close(memory.over_time(x)[0], naive(memory, x, torch.zeros(2, 4)))


def test_step_by_step_has_the_dtypes_of_the_scan() -> None:
    layer, x = RecurrentStigmergicMemory(3, 4).bfloat16(), torch.randn(5, 2, 3).bfloat16()
    scanned, (last,) = layer.over_time(x)
    layer.mark_net[0].register_forward_hook(lambda *_: None)
    stepped, (last_stepped,) = layer.over_time(x)
    assert (stepped.dtype, last_stepped.dtype) == (scanned.dtype, last.dtype)
    torch.testing.assert_close(stepped, scanned, rtol=0.02, atol=0.02)


def test_a_perceptron_refuses_invalid_clamps_and_input_sizes() -> None:
    for limits in ((1.0, 1.0), (1.0, -1.0)):
        with pytest.raises(ValueError, match="clamp_min must be below clamp_max"):
            StigmergicPerceptron(3, 2, clamp_min=limits[0], clamp_max=limits[1])
    for stigmergic_weights in (False, True):
        layer = StigmergicPerceptron(3, 2, stigmergic_weights)
        for run in (layer, lambda x, layer=layer: unroll(layer, x.unsqueeze(0))):
            with pytest.raises(ValueError, match=r"input_size=3, got an input of shape \(4, 6\)"):
                run(torch.zeros(4, 6))


@pytest.mark.parametrize("layer", [StigmergicMemory(3, 2), RecurrentStigmergicMemory(3, 2), StigmergicPerceptron(3, 2)])
def test_integers_are_refused_with_the_call_that_converts_them(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"floating-point numbers, got torch.int64; convert it with .float\(\)"):
        layer(torch.ones(2, 3, dtype=torch.int64))


@pytest.mark.parametrize("layer", [StigmergicMemory(3, 2), RecurrentStigmergicMemory(3, 2), StigmergicPerceptron(3, 2)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_an_input_of_another_dtype_than_the_weights_is_refused(layer: nn.Module, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=rf"input is {dtype} but the weights are torch.float32; convert one with .to"):
        layer(torch.ones(2, 3, dtype=dtype))
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.ones(2, 3, dtype=torch.bfloat16))
