"""`unroll` gives the results of single steps for any forward, or refuses the model."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import (
    BRC,
    NBRC,
    BRCCell,
    NBRCCell,
    StatefulModule,
    StigmergicMemory,
    detach_states,
    get_states,
    reset_states,
    unroll,
)
from bionets.layers.spiking import LIB, FullyRecurrent


def memory(size: int) -> nn.Module:
    return LIB(size, spike_fn="arctan", threshold=0.3, backend="reference")


class Branches(nn.Module):
    """Skip connections, a list of layers, samples cut into parts, and several results."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 4), memory(4))
        self.parts = memory(2)
        self.last = [StigmergicMemory(4, 4)]

    def forward(self, x: Tensor) -> dict[str, Any]:
        self.calls = getattr(self, "calls", 0) + 1
        y = x + self.first(x)
        halves = self.parts(y.reshape(-1, 2)).reshape(y.shape)
        return {"sum": x + y + halves, "memory": (self.last[0](halves.relu()), y.mean(-1))}


@pytest.fixture
def x() -> Tensor:
    return torch.randn(7, 2, 4, generator=torch.Generator().manual_seed(0))


def test_any_forward_gives_the_outputs_and_states_of_single_steps(x: Tensor) -> None:
    torch.manual_seed(0)
    model = Branches()
    steps = [model(step) for step in x]
    expected = {"sum": torch.stack([step["sum"] for step in steps])}
    expected["memory"] = tuple(torch.stack([step["memory"][n] for step in steps]) for n in (0, 1))
    states = get_states(model)
    assert set(states) == {"first.1.mem", "parts.mem", "last.0.memory"} and (expected["sum"] > 0).any()
    reset_states(model)
    model.calls = 0
    torch.testing.assert_close(unroll(model, x), expected)
    assert model.calls == 1
    torch.testing.assert_close(get_states(model), states)
    reset_states(model)
    chunks = [unroll(nn.Sequential(model), piece)["sum"] for piece in x.split(3)]
    torch.testing.assert_close(torch.cat(chunks), expected["sum"])


def test_gradients_are_those_of_single_steps(x: Tensor) -> None:
    torch.manual_seed(0)
    model = Branches().double()
    model.last[0].double()
    x = x.double().requires_grad_()
    expected = torch.autograd.grad(torch.stack([model(step)["sum"] for step in x]).square().sum(), x)
    reset_states(model)
    torch.testing.assert_close(torch.autograd.grad(unroll(model, x)["sum"].square().sum(), x), expected)


class Loop(nn.Module):
    """Two lists that share modules, called in a loop."""

    def __init__(self) -> None:
        super().__init__()
        shared = nn.Linear(4, 4)
        self.layers = nn.ModuleList([shared, nn.ReLU(), shared, memory(4), shared])
        self.branch = nn.ModuleDict({"first": shared, "second": nn.Sequential(shared, nn.Tanh())})

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.branch["first"](x) + self.branch["second"](x)


def repeated() -> dict[str, nn.Module]:
    activation, linear, block = nn.ReLU(), nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.Tanh())
    return {
        "an activation": nn.Sequential(nn.Linear(4, 4), activation, nn.Linear(4, 4), activation),
        "tied weights": nn.Sequential(linear, nn.Tanh(), linear, memory(4), linear),
        "a container": nn.Sequential(block, memory(4), block, nn.Sequential(block)),
        "loops and branches": Loop(),
        "nothing at all": nn.Sequential(),
    }


@pytest.mark.parametrize("name", repeated())
def test_a_module_may_be_used_in_several_places(x: Tensor, name: str) -> None:
    torch.manual_seed(0)
    model = repeated()[name]
    for given in (x, x[:1].expand(x.shape)):
        reset_states(model)
        expected = torch.stack([model(step) for step in given])
        reset_states(model)
        torch.testing.assert_close(unroll(model, given), expected)


class Outer(nn.Module):
    def __init__(self, layer: nn.Module, times: int = 1) -> None:
        super().__init__()
        self.layer, self.times = layer, times

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = self.layer(x)
        return x


def called_twice() -> dict[str, nn.Module]:
    layer, pooled = memory(4), LIB(2, dim=-3)
    recurrent = FullyRecurrent(memory(4))
    return {
        "in a forward": Outer(memory(4), 2),
        "in a Sequential": nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 4), layer),
        "in nested ones": nn.Sequential(nn.Sequential(layer), nn.Sequential(nn.ReLU(), layer)),
        "with a pooling": nn.Sequential(
            nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 2, 1), pooled, nn.Conv2d(2, 2, 1), pooled, nn.MaxPool2d(2)
        ),
        "within another": nn.Sequential(recurrent, recurrent.layer),
    }


@pytest.mark.parametrize("name", called_twice())
def test_a_stateful_layer_called_twice_is_refused_and_the_states_are_kept(x: Tensor, name: str) -> None:
    model = called_twice()[name]
    model(x[0])
    states = get_states(model)
    with pytest.raises(RuntimeError, match=r"(LIB|Recurrent) is called more than once in a time step.*step by step"):
        unroll(model, x)
    assert get_states(model).keys() == states.keys()
    assert all(state is states[key] for key, state in get_states(model).items())
    torch.stack([model(step) for step in x])
    unroll(memory(4), x)  # the failed pass has left nothing behind


def sequence_layers() -> dict[str, tuple[nn.Module, str]]:
    encoder = nn.TransformerEncoderLayer(4, 1, 8)

    class Attention(nn.MultiheadAttention):
        def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(query=x, key=x, value=x)[0]

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [{"recurrent": nn.GRU(4, 4)}]

        def forward(self, x: Tensor) -> Tensor:
            return self.layers[0]["recurrent"](x)[0]

    return {
        "BRC": (BRC(4, 4), "BRC"),
        "NBRC, batch first": (NBRC(4, 4, batch_first=True), "NBRC"),
        "GRU": (nn.GRU(4, 4), "GRU"),
        "LSTM": (nn.LSTM(4, 4, batch_first=True), "LSTM"),
        "RNN": (nn.RNN(4, 4), "RNN"),
        "attention": (Attention(4, 1), "Attention"),
        "encoder layer": (encoder, "TransformerEncoderLayer"),
        "encoder": (nn.TransformerEncoder(encoder, 1, enable_nested_tensor=False).eval(), "TransformerEncoderLayer"),
        "plain Python": (Hidden(), "GRU"),
    }


@pytest.mark.parametrize("name", sequence_layers())
def test_a_layer_that_works_along_time_is_refused_by_name(x: Tensor, name: str) -> None:
    layer, shown = sequence_layers()[name]
    for model in (layer, nn.Sequential(nn.Linear(4, 4), layer), nn.Sequential(memory(4), Outer(layer))):
        with pytest.raises(RuntimeError, match=rf"{shown} is called within unroll: .*{shown.lower()}\(unroll"):
            unroll(model, x)
        assert get_states(model) == {}
    layer(x)  # called directly, it works


class Carried(nn.Module):
    """A cell whose state is an attribute."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.h = cell, None

    def forward(self, x: Tensor) -> Tensor:
        self.h = self.cell(x, self.h)
        return self.h


@pytest.mark.parametrize("cell", [nn.GRUCell, nn.RNNCell, BRCCell, NBRCCell])
def test_a_cell_is_refused_by_name(x: Tensor, cell: type[nn.Module]) -> None:
    with pytest.raises(RuntimeError, match=rf"{cell.__name__} is called within unroll.*does not keep its state"):
        unroll(Carried(cell(4, 4)), x)


@pytest.mark.parametrize("activation", [nn.Softmax(0), nn.LogSoftmax(-2), nn.GLU(0)])
def test_activations_along_the_batch_axis_are_refused(x: Tensor, activation: nn.Module) -> None:
    with pytest.raises(RuntimeError, match="works along the batch axis within unroll"):
        unroll(nn.Sequential(nn.Linear(4, 4), activation), x)
    unroll(nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1)), x)


def test_sequence_layers_over_the_patches_of_one_step_are_accepted(x: Tensor) -> None:
    torch.manual_seed(0)
    layers = (nn.TransformerEncoderLayer(2, 1, 8, batch_first=True, dropout=0.0), nn.GRU(2, 2, batch_first=True))
    for layer in (*layers, BRC(2, 2, batch_first=True)):
        model = nn.Sequential(nn.Unflatten(1, (2, 2)), Outer(layer)).eval()
        steps = [model(step) for step in x]
        if isinstance(steps[0], tuple):
            expected, found = torch.stack([y for y, _ in steps]), unroll(nn.Sequential(model, First()), x)
        else:
            expected, found = torch.stack(steps), unroll(model, x)
        torch.testing.assert_close(found, expected)


class First(nn.Module):
    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        return pair[0]


@pytest.mark.parametrize("function", [reset_states, detach_states, get_states, lambda model: model[1].mem])
def test_reading_or_changing_states_within_a_step_is_refused(x: Tensor, function: Any) -> None:
    class Reset(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            function(self)
            return y

    model = Reset(nn.Linear(4, 4), memory(4))
    with pytest.raises(RuntimeError, match=r"within unroll: .*step by step"):
        unroll(model, x)
    torch.stack([model(step) for step in x])


def test_a_nested_unroll_is_refused(x: Tensor) -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 4), memory(4))

        def forward(self, x: Tensor) -> Tensor:
            return unroll(self.net, x)

    with pytest.raises(RuntimeError, match=r"unroll within unroll.*model\(x\)"):
        unroll(Whole(), x)


def test_a_stateful_layer_may_call_another_step_by_step(x: Tensor) -> None:
    class Outer(StatefulModule):
        state_names = ("inner",)

        def __init__(self) -> None:
            super().__init__()
            self.layer = memory(4)

        def state_shapes(self, input_shape: torch.Size) -> tuple[tuple[int, ...], ...]:
            return (tuple(input_shape),)

        def over_time(self, x: Tensor, states: Any = None, *, backend: str = "auto") -> Any:
            self.layer.mem = states[0]
            y = torch.stack([self.layer(step) for step in x])
            return y, (self.layer.mem,)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.outer = Outer()

        def forward(self, x: Tensor) -> Tensor:
            return x + self.outer(x)

    x = x.repeat(2, 7, 1).abs()  # B is a multiple of T, so that shapes alone cannot distinguish them
    model = Model()
    expected = torch.stack([model(step) for step in x])
    reset_states(model)
    assert torch.equal(unroll(model, x), expected)


class Mixed(nn.Module):
    def __init__(self, before: bool) -> None:
        super().__init__()
        self.before = before
        self.memory = memory(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.memory(x[:5]) if self.before else self.memory(x).mean()


@pytest.mark.parametrize(
    ("before", "message"), [(True, r"LIB: .*7 steps.*\(5, 4\)"), (False, r"Mixed gave.*\(\) for 7 steps of 2 samples")]
)
def test_a_model_that_mixes_samples_is_refused(x: Tensor, before: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unroll(Mixed(before), x)


@pytest.mark.parametrize("given", [3.0, "text", object()])
def test_a_result_that_is_not_a_tensor_is_refused(x: Tensor, given: object) -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return x, given

    with pytest.raises(ValueError, match=f"Pair gave a {type(given).__name__}"):
        unroll(Pair(), x)


def test_empty_sequences_and_batches_are_accepted(x: Tensor) -> None:
    model = nn.Sequential(nn.Linear(4, 4), memory(4))
    for empty in (x[:0], x[:, :0]):
        reset_states(model)
        assert unroll(model, empty).shape == empty.shape
    with pytest.raises(ValueError, match=r"unroll needs x \[T, B, ...\], got shape \(7,\)"):
        unroll(model, x[:, 0, 0])
    with pytest.raises(TypeError, match=r"unroll needs a tensor x \[T, B, ...\], got a ndarray"):
        unroll(model, x.numpy())  # type: ignore[arg-type]
