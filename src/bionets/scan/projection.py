"""One projection, cut into gates without a copy in either direction."""

from typing import Any

import torch
from torch import Tensor


def split_gates(projection: Tensor, gates: int) -> tuple[Tensor, ...]:
    """Cut `[T, B, G * H]` into G views `[T, B, H]`.

    Unlike `projection.unflatten(-1, (G, H)).unbind(-2)`, the backward pass does not stack the G gradients when they
    already lie side by side in one buffer, as the gradients of `scan` and `dense_scan` do.
    """
    if projection.shape[-1] % gates:
        raise ValueError(f"a projection of {projection.shape[-1]} features cannot be cut into {gates} gates")
    if torch.compiler.is_compiling():  # compiled backward graphs see no addresses
        return projection.unflatten(-1, (gates, -1)).unbind(-2)
    return _SplitGates.apply(projection, gates)


class _SplitGates(torch.autograd.Function):
    @staticmethod
    def forward(projection: Tensor, gates: int) -> tuple[Tensor, ...]:
        return projection.unflatten(-1, (gates, -1)).unbind(-2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.set_materialize_grads(True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        first, step = gradients[0], gradients[0].shape[-1]
        row = len(gradients) * step
        side_by_side = all(
            gradient.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
            and gradient.stride() == first.stride()
            and gradient.storage_offset() == first.storage_offset() + number * step
            for number, gradient in enumerate(gradients)
        )
        shape = (*first.shape[:-1], row)
        strides = torch.empty(shape, device="meta").stride()
        if side_by_side and first.stride() == strides:
            return first.as_strided(shape, strides, first.storage_offset()), None
        return torch.stack(gradients, -2).flatten(-2), None
