"""The arguments of a scan, flattened and checked once for all backends."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bionets.scan.eager import is_eager
from bionets.scan.tree import Structure, Tree, flatten

MOST_STEPS = 1 << 24  # kernels compare steps with lengths as float32, which counts to here


@dataclass(frozen=True)
class Layout:
    """The shapes and dtypes of a call."""

    time: int
    batch: int
    shape: tuple[int, ...]  # *N
    blocks: tuple[int, ...]  # G of each weight
    carry_dtype: torch.dtype
    output_dtype: torch.dtype


@dataclass
class Arguments:
    """The tensors of one call: x `[T, B, *N]`, state `[B, *N]`, params scalar or `[*N]`, weights `[G * H, H]`. If
    padding is allowed, weights may have fewer rows in the last block and fewer columns. delay: empty, or the lags
    `[L, H]` and the first states before the initial state, `[L - 1, B, H]`, oldest first."""

    x: list[Tensor]
    state: list[Tensor]
    params: list[Tensor]
    weights: list[Tensor]
    x_tree: Structure
    state_tree: Structure
    params_tree: Structure
    lengths: Tensor | None
    reverse: bool
    checkpoint_every: int
    layout: Layout
    delay: list[Tensor] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return self.x[0].device

    @property
    def state_shape(self) -> tuple[int, ...]:
        """`[B, *N]`."""
        return (self.layout.batch, *self.layout.shape)


def read_arguments(
    x: Tree,
    state: Tree,
    params: Tree,
    weights: tuple[Tensor, ...],
    lengths: Tensor | None,
    reverse: bool,
    checkpoint_every: int,
    pad_weights: bool = False,
) -> Arguments:
    """Flatten the arguments of a scan, find T, B and N by broadcasting, and refuse invalid arguments in one line."""
    (x_leaves, x_tree), (state_leaves, state_tree) = flatten(x, "x"), flatten(state, "state")
    params_leaves, params_tree = flatten(params, "params")
    if not x_leaves:
        raise ValueError("x must hold at least one tensor [T, B, *N]")
    if not state_leaves:
        raise ValueError("state must hold at least one tensor [B, *N]")
    if not isinstance(checkpoint_every, int) or checkpoint_every < 1:
        raise ValueError(f"checkpoint_every must be a whole number of at least 1, got {checkpoint_every!r}")
    read = read_layout.__wrapped__ if torch.compiler.is_compiling() else read_layout
    groups = (x_leaves, state_leaves, params_leaves, weights)
    layout = read(*(tuple(map(_describe, leaves)) for leaves in groups), pad_weights)
    if lengths is not None:
        if layout.time > MOST_STEPS:
            raise ValueError(f"lengths are for at most {MOST_STEPS:,} steps, got {layout.time:,}")
        lengths = check_lengths(lengths, (layout.time, layout.batch), x_leaves[0].device)
    return Arguments(
        x_leaves,
        state_leaves,
        params_leaves,
        list(weights),
        x_tree,
        state_tree,
        params_tree,
        lengths,
        reverse,
        checkpoint_every,
        layout,
    )


def whole_weights(arguments: Arguments) -> list[Tensor]:
    """The weights with zeros in place of missing rows and columns, each `[G * H, H]`."""
    width = math.prod(arguments.layout.shape)  # with weights, there is only one dimension
    return [pad(weight, len(weight) + -len(weight) % max(width, 1), width) for weight in arguments.weights]


Description = tuple[tuple[int, ...], torch.dtype, torch.device]


def _describe(leaf: Tensor) -> Description:
    if leaf.layout is not torch.strided:
        raise TypeError(f"scan needs dense tensors, got {leaf.layout}; use to_dense()")
    return leaf.shape, leaf.dtype, leaf.device


@functools.lru_cache(maxsize=1024)
def read_layout(
    x: tuple[Description, ...],
    state: tuple[Description, ...],
    params: tuple[Description, ...],
    weights: tuple[Description, ...],
    pad_weights: bool,
) -> Layout:
    """Check shapes, dtypes and devices. The result is cached, because most calls have the same layout."""
    device = x[0][2]
    for name, leaves in (("x", x), ("state", state), ("params", params), ("weight", weights)):
        for shape, dtype, place in leaves:
            if place != device and shape:
                raise ValueError(f"x is on {device} and {name} on {place}; move them to one device")
            if dtype.is_complex:
                raise TypeError(f"{name} is {dtype}; complex tensors are not supported")
    for shape, *_ in x:
        if len(shape) < 2:
            raise ValueError(f"x must be [T, B, *N], got {list(shape)}")
    time, batch, *inner = broadcast([shape for shape, *_ in x] + [(1, *shape) for shape, *_ in state], "x and state")
    if any(shape[0] != time for shape, *_ in x):
        raise ValueError(f"the tensors of x differ in T: {[shape[0] for shape, *_ in x]}")
    for shape, *_ in params:
        if len(shape) > len(inner) or broadcast([shape, tuple(inner)], "params and state") != tuple(inner):
            raise ValueError(f"params must be scalar or {inner} (x and state without T and B), got {list(shape)}")
    for shape, *_ in weights:
        if len(inner) != 1:
            raise ValueError(f"dense_scan needs x [T, B, H] and state [B, H], got N = {inner}")
        whole = len(shape) == 2 and shape[1] == inner[0] and shape[0] % max(inner[0], 1) == 0
        fits = whole or (pad_weights and len(shape) == 2 and 0 < shape[1] <= inner[0])
        if not fits or not shape[0]:
            wanted = "a matrix of 1 to H columns" if pad_weights else "[G * H, H]"
            raise ValueError(f"weight must be {wanted} with H = {inner[0]}, got {list(shape)}")
    floats = [dtype for _, dtype, _ in (*x, *state, *params, *weights) if dtype.is_floating_point]
    carry = torch.float64 if torch.float64 in floats else torch.float32
    x_dtypes = {dtype for _, dtype, _ in x if dtype.is_floating_point}
    output = functools.reduce(torch.promote_types, x_dtypes) if carry == torch.float32 and x_dtypes else carry
    blocks = tuple(len(range(0, shape[0], max(inner[0], 1))) for shape, *_ in weights)  # torch.compile: a constant
    return Layout(time, batch, tuple(inner), blocks, carry, output)


def broadcast(shapes: list[tuple[int, ...]], name: str) -> tuple[int, ...]:
    """Like torch.broadcast_shapes, whose first call would import sympy, which takes most of a second."""
    longest = max([0, *map(len, shapes)])
    result = [1] * longest
    for shape in shapes:
        for axis, size in enumerate(shape, longest - len(shape)):
            if size != 1 and result[axis] not in (1, size):
                raise ValueError(f"shapes of {name} do not broadcast: {', '.join(str(list(s)) for s in shapes)}")
            result[axis] = size if size != 1 else result[axis]
    return tuple(result)


def check_lengths(lengths: Tensor, steps: Sequence[int], device: torch.device) -> Tensor:
    """Convert lengths to int64 on this device, for a sequence whose first axes are ``steps`` = (T, B, ...).

    Raises:
        TypeError: the lengths are not a tensor.
        ValueError: the lengths are not B integers from 0 to T. (On a GPU the range is not checked, to avoid a
            synchronisation.)
    """
    if not isinstance(lengths, Tensor):
        raise TypeError(f"lengths must be a tensor of integers, got a {type(lengths).__name__}")
    if len(steps) < 2 or tuple(lengths.shape) != (steps[1],):
        expected = f"[{steps[1]}] integers" if len(steps) > 1 else "for a batch, [T, B, ...]"
        raise ValueError(f"lengths must be {expected}, got shape {list(lengths.shape)}")
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        raise ValueError(f"lengths must be integers, got {lengths.dtype}")
    if is_eager((lengths,)) and lengths.device.type == "cpu" and len(lengths):
        shortest, longest = int(lengths.min()), int(lengths.max())
        if shortest < 0 or longest > steps[0]:
            raise ValueError(f"lengths must lie between 0 and T = {steps[0]}, got {shortest} to {longest}")
    return lengths.to(device=device, dtype=torch.int64)


def check_reset(reset: Tensor, steps: Sequence[int], device: torch.device) -> Tensor:
    """Move the reset mask to this device, for a sequence whose first axes are ``steps`` = (T, B, ...).

    Raises:
        TypeError: the mask is not a tensor.
        ValueError: the mask is not a bool tensor ``[T, B]``.
    """
    if not isinstance(reset, Tensor):
        raise TypeError(f"reset must be a tensor of bools, got a {type(reset).__name__}")
    if len(steps) < 2 or reset.dtype != torch.bool or tuple(reset.shape) != tuple(steps[:2]):
        expected = f"[{steps[0]}, {steps[1]}] bools" if len(steps) > 1 else "for a batch, [T, B, ...]"
        raise ValueError(f"reset must be {expected}, got {list(reset.shape)} {reset.dtype}")
    return reset.to(device)


def pad(tensor: Tensor, *shape: int) -> Tensor:
    """The tensor padded with zeros at the end of each dimension, up to ``shape``."""
    missing = [wanted - got for wanted, got in zip(shape, tensor.shape, strict=True)]
    if not any(missing):
        return tensor
    return torch.constant_pad_nd(tensor, [end for more in reversed(missing) for end in (0, more)])
