"""A scan under `torch.vmap` is a loop over what is batched, gradients included."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state

from bionets.layers import BRC, NBRC, PeepholeLSTM
from bionets.scan import scan

from .cells import BATCH, CELLS, TIME, leaves_of

SIZE = 3


def outputs(found: Any) -> list[Tensor]:
    leaves, _ = torch.utils._pytree.tree_flatten(found)
    return leaves


def batched(leaf: Tensor, axis: int) -> Tensor:
    """`SIZE` variants of a leaf along an axis."""
    variants = [(leaf.detach() * (1 + 0.1 * i)) for i in range(SIZE)]
    return torch.stack(variants, axis).requires_grad_(leaf.requires_grad)


def check(name: str, axes: Sequence[int | None], **options: Any) -> None:
    plain = leaves_of(name, torch.float64)
    leaves = [leaf if axis is None else batched(leaf, axis) for leaf, axis in zip(plain, axes, strict=True)]

    def call(*leaves: Tensor) -> tuple[Tensor, ...]:
        return tuple(outputs(CELLS[name].call(*leaves, backend="cpu", **options)))

    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    found = torch.vmap(call, in_dims=tuple(axes))(*leaves)
    one_by_one = [
        call(*(leaf if axis is None else leaf.select(axis, i) for leaf, axis in zip(leaves, axes, strict=True)))
        for i in range(SIZE)
    ]
    expected = [torch.stack(each) for each in zip(*one_by_one, strict=True)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    losses = [sum(leaf.square().sum() + leaf.sin().sum() for leaf in each) for each in (found, expected)]
    gradients, other_gradients = (torch.autograd.grad(loss, wanted, allow_unused=True) for loss in losses)
    for one, other in zip(gradients, other_gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", [name for name in CELLS if name != "lif"])  # whose test draws its noise within
def test_everything_batched_agrees_with_a_loop(name: str) -> None:
    check(name, [0] * len(leaves_of(name, torch.float64)))


@pytest.mark.parametrize("name", ["brc", "named", "nbrc"])
@pytest.mark.parametrize("seed", range(4))
def test_any_part_batched_along_any_axis_agrees_with_a_loop(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    leaves = leaves_of(name, torch.float64)
    axes = [[None, *range(-1, leaf.dim())][int(torch.randint(leaf.dim() + 2, ()))] for leaf in leaves]
    axes[seed % len(axes)] = 0
    check(name, [leaf.dim() if axis == -1 else axis for axis, leaf in zip(axes, leaves, strict=True)])


@pytest.mark.parametrize("options", [{"reverse": True}, {"checkpoint_every": 4}, {"lengths": torch.tensor([9, 2, 5])}])
def test_options_under_vmap_agree_with_a_loop(options: dict[str, Any]) -> None:
    for name in ("brc", "nbrc"):
        check(name, [0] * len(leaves_of(name, torch.float64)), **options)


def test_lengths_may_be_batched() -> None:
    x, lengths = torch.randn(SIZE, TIME, BATCH, 4), torch.randint(1, TIME + 1, (SIZE, BATCH))

    def integrate(x: Tensor, lengths: Tensor) -> Tensor:
        return scan(lambda x, v, _: (v + x, v + x), x, torch.zeros(BATCH, 4), (), lengths=lengths, backend="cpu")[0]

    expected = torch.stack([integrate(x[i], lengths[i]) for i in range(SIZE)])
    torch.testing.assert_close(torch.vmap(integrate)(x, lengths), expected)


@pytest.mark.parametrize("kind", [BRC, NBRC, PeepholeLSTM])
def test_layers_with_stacked_parameters_agree_with_single_layers(kind: type[BRC]) -> None:
    layers = [kind(3, 6, num_layers=2, bidirectional=True) for _ in range(SIZE)]
    x = torch.randn(SIZE, TIME, BATCH, 3)
    parameters, buffers = stack_module_state(list(layers))

    def one(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        output: Tensor = functional_call(layers[0], (parameters, buffers), (x,))[0]
        return output

    expected = torch.stack([layer(x[i])[0] for i, layer in enumerate(layers)])
    torch.testing.assert_close(torch.vmap(one)(parameters, x), expected)
