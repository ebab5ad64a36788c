"""Time-invariant inputs are computed once where outputs, gradients and hooks stay the same."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bionets.layers import reset_states, unroll
from bionets.layers.plain_calls import sees_single_steps
from bionets.layers.spiking import LIB
from bionets.layers.time_invariant import one_step, repeat_over_time


def memory(size: int, dim: int = -1) -> LIB:
    return LIB(size, dim=dim, spike_fn="arctan", threshold=0.3, backend="reference")


def batches_seen(layer: nn.Module) -> list[int]:
    """The sizes of the batches that the layer will be given, by a hook that does not stop the shortcut."""
    seen: list[int] = []

    @sees_single_steps
    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        seen.append(len(output))

    layer.register_forward_hook(note)
    return seen


def test_one_step_detects_expanded_inputs_that_need_no_gradient() -> None:
    image = torch.rand(2, 3)
    assert torch.equal(one_step(image.expand(5, 2, 3)), image)
    rows = torch.rand(4, 3)
    for x in (rows[1:3].expand(5, 2, 3), rows.T.expand(5, 3, 4), rows[:1].expand(5, 2, 3), rows.expand(5, 4, 3)[:, 2:]):
        assert torch.equal(one_step(x), x[0])
    learned = image.clone().requires_grad_()
    for x in (
        image.expand(1, 2, 3),
        torch.rand(5, 2, 3),
        learned.expand(5, 2, 3),
        image.expand(5, 2, 3).requires_grad_(),
    ):
        assert one_step(x) is None
    assert one_step(repeat_over_time(learned, 5)) is learned


def test_layers_before_the_first_state_are_computed_once() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)), memory(3, dim=-3), nn.ReLU())
    seen = [batches_seen(layer) for layer in (net[0][0], net[0][1], net[2])]
    image = torch.randn(2, 1, 5, 5)
    y = unroll(net, image.expand(6, *image.shape))
    assert seen == [[2], [2], [12]] and y.any()
    found = torch.autograd.grad(y.sum(), tuple(net.parameters()))
    reset_states(net)
    expected = unroll(net, image.repeat(6, 1, 1, 1, 1))
    assert seen == [[2, 12], [2, 12], [12, 12]]
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(found, torch.autograd.grad(expected.sum(), tuple(net.parameters())))


@pytest.mark.parametrize("made", ["leaf", "of a leaf", "of something computed", "with a hook"])
def test_gradients_of_an_expanded_input_equal_those_of_a_repeated_one(made: str) -> None:
    """Saliency maps, adversarial inputs, tensor hooks: an expanded input is differentiated as a repeated one."""
    net = nn.Sequential(nn.Linear(4, 4), memory(4), nn.Linear(4, 2))
    weight = torch.randn(6, 2, 2)
    found = []
    for repeat in (lambda x: x.expand(6, 2, 4), lambda x: x.repeat(6, 1, 1)):
        reset_states(net)
        image = torch.rand(2, 4, generator=torch.Generator().manual_seed(1), requires_grad=made != "leaf")
        x = repeat(image * 2 if made == "of something computed" else image)
        seen: list[Tensor] = []
        if made == "leaf":
            x.requires_grad_()
        if made == "with a hook":
            x.register_hook(seen.append)
            x.retain_grad()
        loss = (unroll(net, x) * weight).sum()
        gradients = torch.autograd.grad(loss, [x] if made == "leaf" else [x, image], retain_graph=True)
        assert gradients[0].shape == (6, 2, 4) and gradients[0].any(-1).any(-1).all()
        loss.backward()
        kept = x.grad if made in ("leaf", "with a hook") else image.grad
        found.append((*gradients, kept, *seen))
    torch.testing.assert_close(found[0], found[1])


NORMS = {
    "batch norm 1d": (lambda: nn.BatchNorm1d(4), (4,)),
    "batch norm 2d": (lambda: nn.BatchNorm2d(4), (4, 2, 3)),
    "cumulative": (lambda: nn.BatchNorm1d(4, momentum=None), (4,)),
    "without statistics": (lambda: nn.BatchNorm1d(4, track_running_stats=False), (4,)),
    "instance norm": (lambda: nn.InstanceNorm2d(4, track_running_stats=True), (4, 2, 3)),
    "layer norm": (lambda: nn.LayerNorm(4), (4,)),
}


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("name", NORMS)
def test_normalisation_treats_an_expanded_input_as_a_repeated_one(name: str, samples: int) -> None:
    make, shape = NORMS[name]
    image = torch.randn(samples, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    results: list[Any] = []
    for x in (image.expand(5, *image.shape), image.repeat(5, *(1,) * image.dim())):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(4, 4, 1) if len(shape) == 3 else nn.Linear(4, 4), make(), nn.Tanh()).double()
        outputs = [unroll(net, x) for _ in range(3)]
        gradients = torch.autograd.grad(sum(y.square().sum() for y in outputs), tuple(net.parameters()))
        net.eval()
        results.append((outputs, gradients, dict(net.state_dict()), unroll(net, x)))
    torch.testing.assert_close(results[0], results[1])


def test_a_hook_receives_every_step() -> None:
    image = torch.rand(2, 4)
    registrations = (
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    )
    for place, register in itertools.product(range(3), registrations):
        seen = []
        for x in (image.expand(6, 2, 4), image.repeat(6, 1, 1)):
            torch.manual_seed(0)
            net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), memory(4))
            shapes: list[list[int]] = []
            getattr(net[place], register)(lambda *given, shapes=shapes: shapes.append([len(g) for g in given[-1]]))
            unroll(net, x).sum().backward()
            seen.append(shapes)
        assert seen[0] == seen[1] and len(seen[0]) == 1, (place, register)


def test_dropout_of_a_time_invariant_input_differs_between_steps() -> None:
    net = nn.Sequential(nn.Dropout(0.5), memory(50))
    ones = torch.ones(2, 50).expand(3, 2, 50)
    net.train()
    dropped = unroll(net[0], ones)
    assert not torch.equal(dropped[0], dropped[1])
    net.eval()
    assert torch.equal(unroll(net[0], ones), ones)
