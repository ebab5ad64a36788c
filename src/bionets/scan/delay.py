"""Delays of the recurrent input of `dense_scan`: a weighted sum over the first states of earlier steps."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bionets.scan.arguments import Arguments
from bionets.scan.tree import flatten, unflatten


def with_delay(arguments: Arguments, lags: Tensor, past: Tensor | None) -> Arguments:
    """The arguments with lags, `[L, H]` or for each connection `[L, G * H, H]`, and the first states before the initial
    state, `[L - 1, B, H]`.
    """
    batch, shape = arguments.layout.batch, arguments.layout.shape
    if not isinstance(lags, Tensor):
        raise TypeError(f"lags must be a tensor, got a {type(lags).__name__}")
    if lags.dim() not in (2, 3) or not len(lags) or lags.shape[-1:] != shape:
        raise ValueError(f"lags must be [L, H] with H = {shape[0]}, got {list(lags.shape)}")
    expected = (len(lags) - 1, batch, *shape)
    if past is None:
        past = lags.new_zeros(()).expand(expected)
    if tuple(past.shape) != expected:
        raise ValueError(f"past must be [L - 1, B, H] = {list(expected)}, got {list(past.shape)}")
    return replace(arguments, delay=[leaf.to(arguments.device, arguments.layout.carry_dtype) for leaf in (lags, past)])


def forward_in_time(arguments: Arguments) -> tuple[Arguments, Callable[[Any], Any]]:
    """Turn a scan in reverse into a forward scan by reversing the time of its arguments. Returns the arguments, and a
    function that restores the order of y.
    """
    if not arguments.reverse:
        return arguments, lambda y: y
    time, lengths = arguments.layout.time, arguments.lengths
    order = torch.arange(time, device=arguments.device).flip(0).unsqueeze(1)
    if lengths is not None:  # reverse each sequence within its own length
        order = torch.where(order.flip(0) < lengths, lengths - 1 - order.flip(0), order.flip(0))

    def reversed_in_time(leaf: Tensor) -> Tensor:
        if lengths is None:
            return leaf.flip(0)
        leaf = leaf.expand(time, len(lengths), *leaf.shape[2:])  # x may broadcast over the batch
        return leaf.gather(0, order.view(*order.shape, *(1,) * (leaf.dim() - 2)).expand(leaf.shape))

    def restore(y: Any) -> Any:
        leaves, tree = flatten(y, "y")
        return unflatten(tree, [reversed_in_time(leaf) for leaf in leaves])

    return replace(arguments, x=[reversed_in_time(leaf) for leaf in arguments.x], reverse=False), restore


def delayed_product(lags: Tensor, earlier: list[Tensor], weight: Tensor) -> Tensor:
    """The product of the first stage, given the first states of earlier steps, latest first: (Σ_d lags[d] ∘ earlier[d])
    times the weight, or the sum of the products of earlier[d] with a weight for each d.
    """
    if lags.dim() == 3:
        return torch.cat(earlier, -1) @ lags.transpose(1, 2).flatten(0, 1)
    return (lags.unsqueeze(1) * torch.stack(earlier)).sum(0) @ weight.T
