"""A model over a whole sequence: the numbers of single steps, whatever its forward does."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import StatefulModule, StigmergicMemory, get_states, reset_states, unroll
from bionets.layers.spiking import LIB


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


def test_any_forward_gives_the_numbers_of_single_steps_and_leaves_the_same_states(x: Tensor) -> None:
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


def test_a_layer_called_twice_in_a_step_is_named(x: Tensor) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = memory(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.memory(self.memory(x))

    with pytest.raises(RuntimeError, match=r"LIB is called more than once in a time step.*step by step"):
        unroll(Twice(), x)
    torch.stack([Twice()(step) for step in x])
    unroll(memory(4), x)  # the failed pass has left nothing behind


def test_a_model_that_unrolls_itself_is_named(x: Tensor) -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 4), memory(4))

        def forward(self, x: Tensor) -> Tensor:
            return unroll(self.net, x)

    with pytest.raises(RuntimeError, match=r"unroll within unroll.*model\(x\)"):
        unroll(Whole(), x)


def test_a_stateful_layer_may_step_another(x: Tensor) -> None:
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

    x = x.repeat(2, 7, 1).abs()  # B is a multiple of T, so that no shape tells them apart
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
def test_a_model_that_mixes_samples_is_named(x: Tensor, before: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unroll(Mixed(before), x)


def test_what_does_not_change_with_time_is_computed_once() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)), LIB(3, dim=-3, spike_fn="arctan"))
    net[1].backend = "reference"
    image = torch.randn(2, 1, 5, 5, requires_grad=True)
    seen: list[int] = []
    net[0][0].register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    y = unroll(net, image.expand(6, *image.shape))
    assert seen == [2]
    reset_states(net)
    expected = unroll(net, image.repeat(6, 1, 1, 1, 1))
    assert seen == [2, 12] and y.any()
    torch.testing.assert_close(y, expected)
    weight = torch.randn_like(y)
    found, wanted = (torch.autograd.grad((each * weight).sum(), image)[0] for each in (y, expected))
    torch.testing.assert_close(found, wanted)


def test_randomness_does_not_repeat_itself_over_time() -> None:
    net = nn.Sequential(nn.Dropout(0.5), memory(50))
    ones = torch.ones(2, 50).expand(3, 2, 50)
    net.train()
    dropped = unroll(net[0], ones)
    assert not torch.equal(dropped[0], dropped[1])
    net.eval()
    assert torch.equal(unroll(net[0], ones), ones)
