"""Hooks and other wrappers of a module's call act within `unroll` as they do step by step."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as global_hooks
from torch.nn.utils import parametrizations, parametrize, prune

from bionets.layers import reset_states, unroll
from bionets.layers.spiking import LIB, PLIF, FullyRecurrent

X = torch.rand(5, 2, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()),
        LIB(4, dim=-3, threshold=0.2, spike_fn="arctan", backend="reference"),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Flatten(), nn.Linear(16, 4)),
        FullyRecurrent(PLIF(4, threshold=0.2, backend="reference")),
    )


PLACES: dict[str, Callable[[nn.Sequential], nn.Module]] = {
    "the model": lambda net: net,
    "an inner container": lambda net: net[0],
    "a layer without state": lambda net: net[0][0],
    "neurons before a pooling": lambda net: net[1],
    "the pooling": lambda net: net[2],
    "a recurrent layer": lambda net: net[4],
}
HOOKS: dict[str, Callable[[nn.Module], Any]] = {
    "forward": lambda m: m.register_forward_hook(lambda module, inputs, output: output * 2),
    "forward with kwargs": lambda m: m.register_forward_hook(
        lambda module, inputs, kwargs, output: output * 2, with_kwargs=True, always_call=True
    ),
    "forward-pre": lambda m: m.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,)),
    "forward-pre with kwargs": lambda m: m.register_forward_pre_hook(
        lambda module, inputs, kwargs: ((inputs[0] * 2,), kwargs), with_kwargs=True, prepend=True
    ),
    "full backward": lambda m: m.register_full_backward_hook(lambda module, ins, outs: tuple(g * 2 for g in ins)),
    "full backward-pre": lambda m: m.register_full_backward_pre_hook(lambda module, outs: tuple(g * 2 for g in outs)),
}


def run(net: nn.Module, x: Tensor, whole: bool) -> list[Tensor]:
    """The output, and the gradients of the input and the parameters."""
    reset_states(net)
    x = x.clone().requires_grad_()
    y = unroll(net, x) if whole else torch.stack([net(step) for step in x])
    weight = torch.arange(y.numel()).view(y.shape).sin()
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return [y, *torch.autograd.grad((y * weight).sum(), [x, *parameters], allow_unused=True)]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("place", PLACES)
def test_a_hook_has_the_same_effect_as_step_by_step(place: str, hook: str) -> None:
    plain, net = network(), network()
    HOOKS[hook](PLACES[place](net))
    found, expected = run(net, X, whole=True), run(net, X, whole=False)
    torch.testing.assert_close(found, expected)
    unhooked = run(plain, X, whole=True)
    assert any(not torch.equal(a, b) for a, b in zip(expected, unhooked, strict=True)), "the hook must matter"


GLOBAL_HOOKS: dict[str, Callable[[], Any]] = {
    "forward": lambda: global_hooks.register_module_forward_hook(lambda module, inputs, output: output * 1.5),
    "forward-pre": lambda: global_hooks.register_module_forward_pre_hook(lambda module, inputs: (inputs[0] * 1.5,)),
    "full backward": lambda: global_hooks.register_module_full_backward_hook(
        lambda module, ins, outs: tuple(None if g is None else g * 1.5 for g in ins)
    ),
    "full backward-pre": lambda: global_hooks.register_module_full_backward_pre_hook(
        lambda module, outs: tuple(g * 1.5 for g in outs)
    ),
}


@pytest.mark.parametrize("hook", GLOBAL_HOOKS)
def test_a_global_hook_has_the_same_effect_as_step_by_step(hook: str) -> None:
    net = network()
    unhooked = run(net, X, whole=True)
    handle = GLOBAL_HOOKS[hook]()
    try:
        found, expected = run(net, X, whole=True), run(net, X, whole=False)
    finally:
        handle.remove()
    torch.testing.assert_close(found, expected)
    assert any(not torch.equal(a, b) for a, b in zip(expected, unhooked, strict=True))


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


WRAPPED: dict[str, Callable[[nn.Sequential], Any]] = {
    "weight norm": lambda net: parametrizations.weight_norm(net[3][1]),
    "old weight norm": lambda net: torch.nn.utils.weight_norm(net[3][1]),
    "spectral norm": lambda net: parametrizations.spectral_norm(net[0][0]).eval(),
    "orthogonal": lambda net: parametrizations.orthogonal(net[4], "weight"),
    "a parametrised decay": lambda net: parametrize.register_parametrization(net[1], "raw_beta", Doubled()),
    "a pruned weight": lambda net: prune.l1_unstructured(net[3][1], "weight", 0.5),
    "pruned recurrent weights": lambda net: prune.random_unstructured(net[4], "weight", 0.5),
    "a pruned decay": lambda net: prune.custom_from_mask(net[1], "raw_beta", torch.tensor([1.0, 0.0, 1.0, 0.0])),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("wrapped", WRAPPED)
def test_parametrisations_and_pruning_have_the_same_effect_as_step_by_step(wrapped: str) -> None:
    plain, net = run(network(), X, whole=True)[0], network()
    WRAPPED[wrapped](net)
    for parameter in net.parameters():  # like an optimizer's step, after which masks and norms must be applied again
        parameter.data += 0.1
    torch.testing.assert_close(run(net, X, whole=True), run(net, X, whole=False))
    assert wrapped == "old weight norm" or not torch.equal(run(net, X, whole=True)[0], plain)


def test_overridden_forward_and_call_methods_are_called() -> None:
    class Louder(LIB):
        def forward(self, x: Tensor, **options: Any) -> Tensor:
            return 3 * super().forward(x, **options) + x

    class Skip(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return x + super().forward(x)

    class Called(nn.Sequential):
        def __call__(self, x: Tensor) -> Tensor:
            return 2 * super().__call__(x)

    torch.manual_seed(0)
    louder = Louder(4, dim=-3, threshold=0.2, spike_fn="arctan", backend="reference")
    net = nn.Sequential(Called(nn.Conv2d(1, 4, 3)), Skip(nn.ReLU()), louder, nn.MaxPool2d(2), nn.Flatten())
    patched = nn.Linear(16, 3)
    patched.forward = lambda x: nn.Linear.forward(patched, x) + 1  # type: ignore[method-assign]
    net.append(patched)
    for x in (X, X[:1].expand(X.shape)):
        torch.testing.assert_close(run(net, x, whole=True), run(net, x, whole=False))
        reset_states(net)
        expected = torch.stack([net(step) for step in x])
        reset_states(net)
        torch.testing.assert_close(unroll(net, x), expected)
