"""A scan on a compiling backend: find the program, flatten every tensor to [T, B, N], run it, restore the shapes."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from bionets.scan.arguments import Arguments, Layout, whole_weights
from bionets.scan.call import Call
from bionets.scan.graph import NonlinearBackwardError, UnsupportedStepError
from bionets.scan.operator import run_online, run_scan
from bionets.scan.program import find_program
from bionets.scan.program.program import BoundProgram
from bionets.scan.reference import final_dtype
from bionets.scan.tree import unflatten

NOT_LINEAR = (
    "online gradients carry derivatives, and a backward pass in the step is not linear in the gradient; use "
    "backpropagation through time"
)
WIDE = 64  # from this number of units on, reading a recurrent product is faster than recomputing it


@dataclass
class Sensitivities:
    """The sensitivity of each state to each wanted parameter, in this order, each `[B, *N]`, before the first step and
    after the last step.

    A compiled scan sets `after`. The reference backend has no forward mode: it sets `expanded` to the wanted
    parameters that it has used, with one copy for each sample, `[B, *N]`, for `torch.autograd.grad`.
    """

    wanted: tuple[int, ...]
    before: list[Tensor]
    after: list[Tensor] | None = None
    expanded: list[Tensor] = field(default_factory=list)

    def expand(self, arguments: Arguments) -> Arguments:
        """The arguments with `expanded` in place of the wanted parameters."""
        params, dtype = list(arguments.params), arguments.layout.carry_dtype
        for k in self.wanted:
            params[k] = params[k].to(dtype).expand(arguments.state_shape)
        self.expanded = [params[k] for k in self.wanted]
        return replace(arguments, params=params)


# Views are created only if a shape differs, because each view is a node for autograd.


def compiled_scan(
    stages: tuple[Any, ...], arguments: Arguments, backend: str, sensitivities: Sensitivities | None = None
) -> tuple[Any, Any]:
    bound, layout = find_program(stages, arguments), arguments.layout
    program = bound.program
    if sensitivities and not program.linear:
        raise ValueError(NOT_LINEAR)
    if arguments.delay and backend == "triton":
        raise UnsupportedStepError("the triton backend has no delays")
    if arguments.delay and program.y_of_state[0] is None:
        raise UnsupportedStepError("with lags the first state must be y, or one of its tensors")
    every = 1 if None not in program.y_of_state and arguments.lengths is None else arguments.checkpoint_every
    every = 1 if sensitivities or arguments.delay else every  # delays need the first state of every step
    weights = arguments.weights if backend == "cpu" else whole_weights(arguments)  # its kernels skip the padding
    call = Call(
        program,
        [_flat_rows(leaf, layout) for leaf in arguments.x],
        [_like_state(leaf, layout) for leaf in arguments.state],
        [_flat_param(leaf, layout, arguments.device) for leaf in arguments.params] + _numbers(bound, arguments.device),
        [_cast(weight, program.dtype) for weight in weights],
        arguments.lengths,
        arguments.reverse,
        max(1, min(every, layout.time)),
        [leaf.contiguous() for leaf in arguments.delay],
        backend == "cpu" and _stores_products(arguments),
    )
    if sensitivities is None:
        results = run_scan(call, backend)
    else:
        before = [_like_state(leaf, layout) for leaf in sensitivities.before]
        results, after = run_online(call, backend, sensitivities.wanted, before)
        sensitivities.after = [_unflatten(leaf, layout) for leaf in after]
    found = [_unflatten(leaf, layout) for leaf in results]
    y = [_cast(leaf, layout.output_dtype) for leaf in found[: program.y]]
    final = [
        _cast(leaf, final_dtype(initial, program.dtype))
        for leaf, initial in zip(found[program.y :], arguments.state, strict=True)
    ]
    return unflatten(bound.y_tree, y), unflatten(arguments.state_tree, final)


def require_linear(stages: tuple[Any, ...], arguments: Arguments) -> None:
    """Raise ValueError if a backward pass in the step is not linear in the gradient. A step that cannot be traced is
    not checked."""
    try:
        linear = find_program(stages, arguments).program.linear
    except NonlinearBackwardError:
        linear = False
    except UnsupportedStepError:
        return
    if not linear:
        raise ValueError(NOT_LINEAR)


def _stores_products(arguments: Arguments) -> bool:
    """Whether the recurrent products are kept: not for narrow layers, and not with checkpoints."""
    width, weights = math.prod(arguments.layout.shape), arguments.weights
    if not weights or width < WIDE or arguments.checkpoint_every > 1:
        return False
    return all(len(weight) % width == 0 for weight in weights)


def _cast(leaf: Tensor, dtype: torch.dtype) -> Tensor:
    return leaf if leaf.dtype == dtype else leaf.to(dtype)  # a call of `to` that changes nothing takes a microsecond


def _flat_rows(leaf: Tensor, layout: Layout) -> Tensor:
    """The tensor as `[T, B, N]` in the carry's dtype, without a copy if its rows are contiguous."""
    leaf, shape = _cast(leaf, layout.carry_dtype), (layout.time, layout.batch, *layout.shape)
    if leaf.shape != shape:
        leaf = leaf.expand(shape)
    if len(shape) != 3:
        leaf = leaf.flatten(2) if layout.shape else leaf.unsqueeze(-1)
    return leaf if leaf.stride(2) == 1 or leaf.shape[2] == 1 else leaf.contiguous()


def _like_state(leaf: Tensor, layout: Layout) -> Tensor:
    leaf, shape = _cast(leaf, layout.carry_dtype), (layout.batch, *layout.shape)
    if leaf.shape != shape:
        leaf = leaf.expand(shape)
    return (leaf if len(shape) == 2 else leaf.reshape(layout.batch, -1)).contiguous()


def _flat_param(leaf: Tensor, layout: Layout, device: torch.device) -> Tensor:
    leaf = leaf.to(device, layout.carry_dtype) if leaf.device != device else _cast(leaf, layout.carry_dtype)
    if leaf.numel() == 1:
        return leaf if leaf.dim() == 1 else leaf.reshape(1)
    if leaf.shape != layout.shape:
        leaf = leaf.expand(layout.shape)
    return (leaf if leaf.dim() == 1 else leaf.reshape(-1)).contiguous()


def _numbers(bound: BoundProgram, device: torch.device) -> list[Tensor]:
    """The numbers of a step that are parameters of its program, as tensors `[1]`."""
    return [torch.full((1,), value, dtype=bound.program.dtype, device=device) for value in bound.values]


def _unflatten(leaf: Tensor, layout: Layout) -> Tensor:
    return leaf if len(layout.shape) == 1 else leaf.reshape(*leaf.shape[:-1], *layout.shape)
