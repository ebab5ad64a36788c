"""A scan on a compiling backend: find the program, flatten every tensor to [T, B, N], call the operator, undo it."""

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from bionets.scan.arguments import Arguments
from bionets.scan.operator import scan_forward
from bionets.scan.program import find_program
from bionets.scan.reference import final_dtype


def compiled_scan(stages: tuple[Any, ...], arguments: Arguments, backend: str) -> tuple[Any, Any]:
    program = find_program(stages, arguments)
    x = [_flat_rows(leaf, arguments) for leaf in arguments.x]
    state = [_like_state(leaf, arguments) for leaf in arguments.state]
    params = [_flat_param(leaf, arguments) for leaf in arguments.params]
    weights = [weight.to(program.dtype) for weight in arguments.weights]
    keep = torch.is_grad_enabled() and any(leaf.requires_grad for leaf in (*x, *state, *params, *weights))
    every = 1 if None not in program.y_of_state and arguments.lengths is None else arguments.checkpoint_every
    every = max(1, min(every, arguments.time))
    found = scan_forward(
        x, state, params, weights, arguments.lengths, program.key, arguments.reverse, every, backend, keep
    )
    y = [_unflatten(leaf, arguments).to(arguments.output_dtype) for leaf in found[: program.y]]
    final = [
        _unflatten(leaf, arguments).to(final_dtype(initial, program.dtype))
        for leaf, initial in zip(found[program.y :], arguments.state, strict=False)
    ]
    return pytree.tree_unflatten(y, program.y_tree), pytree.tree_unflatten(final, arguments.state_tree)


def _flat_rows(leaf: Tensor, arguments: Arguments) -> Tensor:
    """`[T, B, N]` in the carry's dtype, without a copy where rows already lie together in memory."""
    leaf = leaf.to(arguments.carry_dtype)
    leaf = leaf.expand(arguments.time, *arguments.state_shape).flatten(2) if arguments.shape else leaf.unsqueeze(-1)
    return leaf if leaf.stride(2) == 1 or leaf.shape[2] == 1 else leaf.contiguous()


def _like_state(leaf: Tensor, arguments: Arguments) -> Tensor:
    return leaf.to(arguments.carry_dtype).expand(arguments.state_shape).reshape(arguments.batch, -1).contiguous()


def _flat_param(leaf: Tensor, arguments: Arguments) -> Tensor:
    leaf = leaf.to(device=arguments.device, dtype=arguments.carry_dtype)
    return leaf.reshape(1) if leaf.numel() == 1 else leaf.expand(arguments.shape).reshape(-1).contiguous()


def _unflatten(leaf: Tensor, arguments: Arguments) -> Tensor:
    return leaf.reshape(*leaf.shape[:-1], *arguments.shape)
