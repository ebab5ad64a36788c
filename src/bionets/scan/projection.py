"""The projection of the input onto all gates, split into gates without a copy, forward and backward."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bionets.scan.eager import is_eager, materialize
from bionets.scan.online import active

SMALL = 1 << 18  # number of multiplications below which torch's product is as fast


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight.T + bias, `[T, B, G * H]`, for x `[T, B, I]`, weight `[G * H, I]` and bias `[G * H]`. Like `F.linear`,
    but faster on the CPU.

    The rows of the result may not be contiguous in memory; the result is meant for `split_gates`.
    """
    if weight.dim() != 2:
        raise ValueError(f"weight must be [G * H, I], got {list(weight.shape)}")
    fits = x.dim() > 1 and x.shape[-1] == weight.shape[1]  # else torch raises an error
    supported = fits and x.dtype == weight.dtype and x.dtype in (torch.float32, torch.float64)
    on_cpu = x.device.type == weight.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    if supported and on_cpu and is_eager((x, weight)) and x.numel() * weight.shape[0] >= SMALL:
        product: Tensor = _Project.apply(x, weight)
        output, online = product if bias is None else product + bias, active()
        return output if online is None else online.record(output, x, weight, bias)
    return F.linear(x, weight, bias)


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        from bionets.scan.cpu.matrix import multiply

        ctx.save_for_backward(x, weight)
        return multiply(_rows(x), materialize(weight).T).unflatten(0, x.shape[:-1])  # its memory is read

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        from bionets.scan.cpu.matrix import multiply, multiply_transposed

        x, weight = ctx.saved_tensors
        if torch.is_grad_enabled() or not is_eager((gradient,)):  # second derivatives, or torch.vmap of this function
            return gradient @ weight, gradient.flatten(0, -2).T @ x.flatten(0, -2)
        needs_x, needs_weight = ctx.needs_input_grad
        grad_x = multiply(_rows(gradient), materialize(weight)).unflatten(0, x.shape[:-1]) if needs_x else None
        if not needs_weight:
            return grad_x, None
        (grad_weight,) = multiply_transposed([[(_rows(gradient), _rows(x))]], [weight.shape])
        return grad_x, grad_weight


def _rows(tensor: Tensor) -> Tensor:
    """The tensor as `[T * B, N]` with contiguous rows."""
    rows = materialize(tensor).flatten(0, -2)
    return rows if rows.stride(1) == 1 or rows.shape[1] == 1 else rows.contiguous()


def split_gates(projection: Tensor, gates: int) -> tuple[Tensor, ...]:
    """Split `[T, B, G * H]` into G views `[T, B, H]`.

    Unlike in `projection.unflatten(-1, (G, H)).unbind(-2)`, the backward pass does not stack the G gradients if they
    are already adjacent in one buffer, like the gradients of `scan` and `dense_scan`.
    """
    if projection.shape[-1] % gates:
        raise ValueError(f"a projection of {projection.shape[-1]} features cannot be cut into {gates} gates")
    if is_eager((projection,)):
        return _SplitGates.apply(projection, gates)
    return projection.unflatten(-1, (gates, -1)).unbind(-2)  # the backward pass has no access to addresses here


class _SplitGates(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projection: Tensor, gates: int) -> tuple[Tensor, ...]:
        return projection.unflatten(-1, (gates, -1)).unbind(-2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        first, step = gradients[0], gradients[0].shape[-1]
        row = len(gradients) * step
        # in a second derivative, autograd would not see that the first gradient stands for all of them
        side_by_side = (
            not torch.is_grad_enabled()
            and is_eager(gradients)
            and all(
                gradient.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
                and gradient.stride() == first.stride()
                and gradient.is_neg() == first.is_neg()
                and gradient.storage_offset() == first.storage_offset() + number * step
                for number, gradient in enumerate(gradients)
            )
        )
        shape = (*first.shape[:-1], row)
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        if side_by_side and first.stride() == strides:
            return first.as_strided(shape, strides, first.storage_offset()), None
        return torch.stack(gradients, -2).flatten(-2), None
