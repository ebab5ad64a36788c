"""Sequences that do not change: what was expanded is found again, and carries the gradient."""

import torch
from torch import Tensor, nn

from bionets.layers import unroll
from bionets.layers.still import is_still, one_step


def test_what_was_expanded_is_found_again() -> None:
    image = torch.rand(2, 3, requires_grad=True)
    made = 2 * image
    assert one_step(made.expand(5, 2, 3)) is made
    assert is_still(made.expand(5, 2, 3)) and not is_still(made.expand(1, 2, 3)) and not is_still(torch.rand(5, 2, 3))


def test_of_part_of_something_it_is_the_first_step() -> None:
    rows = torch.rand(4, 3)
    for x in (rows[1:3].expand(5, 2, 3), rows.T.expand(5, 3, 4), rows[:1].expand(5, 2, 3), rows.expand(5, 4, 3)[:, 2:]):
        assert torch.equal(one_step(x), x[0])


def test_the_first_layers_are_differentiated_without_a_step_of_zeros() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.rand(2, 3, requires_grad=True)
    largest = 0

    def watch(gradient: Tensor) -> None:
        nonlocal largest
        largest = max(largest, gradient.numel())

    for layer in net:
        layer.register_full_backward_pre_hook(lambda module, gradients: watch(gradients[0]))
    y = unroll(net, x.expand(50, 2, 3))
    y.square().sum().backward()
    still = x.grad.clone()
    x.grad = None
    torch.stack([net(x)] * 50).square().sum().backward()
    torch.testing.assert_close(still, x.grad)
    assert largest <= 2 * 4
