"""What a scan is called with, flattened and checked once for all backends."""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


@dataclass
class Arguments:
    """The tensors of one call: x `[T, B, *N]`, state `[B, *N]`, params scalar or `[*N]`, weights `[G * H, H]`."""

    x: list[Tensor]
    state: list[Tensor]
    params: list[Tensor]
    weights: list[Tensor]
    x_tree: pytree.TreeSpec
    state_tree: pytree.TreeSpec
    params_tree: pytree.TreeSpec
    lengths: Tensor | None
    reverse: bool
    checkpoint_every: int
    time: int
    batch: int
    shape: tuple[int, ...]  # *N
    carry_dtype: torch.dtype
    output_dtype: torch.dtype

    @property
    def device(self) -> torch.device:
        return self.x[0].device

    @property
    def state_shape(self) -> tuple[int, ...]:
        """`[B, *N]`."""
        return (self.batch, *self.shape)


def read_arguments(
    x: Any,
    state: Any,
    params: Any,
    weights: tuple[Tensor, ...],
    lengths: Tensor | None,
    reverse: bool,
    checkpoint_every: int,
) -> Arguments:
    """Flatten the arguments of a scan, find T, B and N by broadcasting, and refuse what does not fit in one line."""
    x_leaves, x_tree = flatten(x, "x")
    state_leaves, state_tree = flatten(state, "state")
    params_leaves, params_tree = flatten(params, "params")
    if not x_leaves:
        raise ValueError("x must hold at least one tensor [T, B, *N]")
    if not state_leaves:
        raise ValueError("state must hold at least one tensor [B, *N]")
    device = x_leaves[0].device
    for name, leaves in (
        ("x", x_leaves),
        ("state", state_leaves),
        ("params", params_leaves),
        ("weight", list(weights)),
    ):
        for leaf in leaves:
            if leaf.device != device and leaf.dim() > 0:
                raise ValueError(f"x is on {device} and {name} on {leaf.device}; move them to one device")
            if leaf.is_complex():
                raise TypeError(f"{name} is {leaf.dtype}; complex tensors are not supported")
    for leaf in x_leaves:
        if leaf.dim() < 2:
            raise ValueError(f"x must be [T, B, *N], got {list(leaf.shape)}")
    time, *state_shape = _broadcast(
        [tuple(leaf.shape) for leaf in x_leaves] + [(1, *leaf.shape) for leaf in state_leaves], "x and state"
    )
    batch, *shape = state_shape
    if any(leaf.shape[0] != time for leaf in x_leaves):
        raise ValueError(f"the tensors of x differ in T: {[leaf.shape[0] for leaf in x_leaves]}")
    for leaf in params_leaves:
        if leaf.dim() > len(shape) or _broadcast([tuple(leaf.shape), tuple(shape)], "params and state") != tuple(shape):
            raise ValueError(f"params must be scalar or {shape} (x and state without T and B), got {list(leaf.shape)}")
    for weight in weights:
        if len(shape) != 1:
            raise ValueError(f"dense_scan needs x [T, B, H] and state [B, H], got N = {shape}")
        if (
            weight.dim() != 2
            or weight.shape[1] != shape[0]
            or weight.shape[0] % max(shape[0], 1)
            or not weight.shape[0]
        ):
            raise ValueError(f"weight must be [G * H, H] with H = {shape[0]}, got {list(weight.shape)}")
    if checkpoint_every < 1:
        raise ValueError(f"checkpoint_every must be at least 1, got {checkpoint_every}")
    floats = [leaf.dtype for leaf in (*x_leaves, *state_leaves, *params_leaves, *weights) if leaf.is_floating_point()]
    carry_dtype = torch.float64 if torch.float64 in floats else torch.float32
    x_dtypes = {leaf.dtype for leaf in x_leaves if leaf.is_floating_point()}
    output_dtype = carry_dtype
    if carry_dtype == torch.float32 and x_dtypes:
        output_dtype = functools.reduce(torch.promote_types, x_dtypes)
    return Arguments(
        x_leaves,
        state_leaves,
        params_leaves,
        list(weights),
        x_tree,
        state_tree,
        params_tree,
        None if lengths is None else _read_lengths(lengths, time, batch, device),
        reverse,
        checkpoint_every,
        time,
        batch,
        tuple(shape),
        carry_dtype,
        output_dtype,
    )


def flatten(tree: Any, name: str) -> tuple[list[Tensor], pytree.TreeSpec]:
    """The tensors of a (named) tuple, and its structure. Raises TypeError on anything else, naming it."""
    leaves, spec = pytree.tree_flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise TypeError(f"{name} must be a tensor or a (named) tuple of tensors, found {type(leaf).__name__}")
    return leaves, spec


def _broadcast(shapes: list[tuple[int, ...]], name: str) -> tuple[int, ...]:
    """torch.broadcast_shapes, which at its first call would import sympy for the better part of a second."""
    longest = max(map(len, shapes))
    result = [1] * longest
    for shape in shapes:
        for axis, size in enumerate(shape, longest - len(shape)):
            if size != 1 and result[axis] not in (1, size):
                raise ValueError(f"shapes of {name} do not broadcast: {', '.join(str(list(s)) for s in shapes)}")
            result[axis] = size if size != 1 else result[axis]
    return tuple(result)


def _read_lengths(lengths: Tensor, time: int, batch: int, device: torch.device) -> Tensor:
    if lengths.shape != (batch,) or lengths.is_floating_point():
        raise ValueError(f"lengths must be [{batch}] integers, got {list(lengths.shape)} {lengths.dtype}")
    if not torch.compiler.is_compiling() and lengths.device.type == "cpu" and batch:
        shortest, longest = int(lengths.min()), int(lengths.max())
        if shortest < 0 or longest > time:
            raise ValueError(f"lengths must lie between 0 and T = {time}, got {shortest} to {longest}")
    return lengths.to(device=device, dtype=torch.int64)
