"""The `torch.vmap` rules of the scan's operators, for example over several sets of parameters of one network.

Elementwise recurrences are joined to one recurrence with a larger width. Recurrences with separate weights or lengths
run one after the other.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bionets.scan.operator import run_scan
from bionets.scan.torch_operators import GROUPS, WEIGHTS, read_inputs, scan_backward

Axis = int | None  # the axis along which a tensor is batched


def _join_scans(info: Any, axes: tuple[Any, ...], *arguments: Any) -> tuple[list[Tensor], list[int]]:
    """y and the final state of the operator `bionets::scan` for batched tensors, and the axes of their batch."""
    size, of_lengths = info.batch_size, axes[GROUPS]
    lengths, *options, _keep = arguments[GROUPS:]
    leaves = [list(zip(*each, strict=True)) for each in zip(arguments[:GROUPS], axes[:GROUPS], strict=True)]

    def run(groups: list[list[Tensor]], lengths: Tensor | None) -> list[Tensor]:
        return run_scan(*read_inputs((*groups, lengths, *options)))

    if arguments[WEIGHTS] or of_lengths is not None:
        apart = [[_unbind(leaf, axis, size) for leaf, axis in group] for group in leaves]
        lengths_apart = [None] * size if lengths is None else _unbind(lengths, of_lengths, size)
        one_by_one = [run([[leaf[i] for leaf in group] for group in apart], lengths_apart[i]) for i in range(size)]
        found = [torch.stack(each) for each in zip(*one_by_one, strict=True)]
        return found, [0] * len(found)

    width = _unbind(*leaves[0][0], size)[0].shape[-1]
    groups = [[_widen(leaf, axis, size, width) for leaf, axis in group] for group in leaves]
    found = [leaf.unflatten(-1, (size, width)) for leaf in run(groups, lengths)]
    return found, [leaf.dim() - 2 for leaf in found]


def _unbind(leaf: Tensor, axis: Axis, size: int) -> Sequence[Tensor]:
    return (leaf,) * size if axis is None else leaf.unbind(axis)


def _widen(leaf: Tensor, axis: Axis, size: int, width: int) -> Tensor:
    """Concatenate the last dimension of all `size` tensors: `[..., size * width]`."""
    leaf = leaf.unsqueeze(-2) if axis is None else leaf.movedim(axis, -2)
    return leaf.expand(*leaf.shape[:-2], size, width).flatten(-2).contiguous()


def _run_backwards(info: Any, axes: tuple[Any, ...], *arguments: Any) -> tuple[list[Tensor], list[int]]:
    """Run the operator `bionets::scan_backward` for batched tensors one after the other, for example for the rows of a
    Jacobian, which share everything except the gradients."""
    count = GROUPS + 2  # gradients and states, then the groups of a call; after them the lengths
    found = []
    for i in range(info.batch_size):
        one = [
            [_select(leaf, axis, i) for leaf, axis in zip(group, of_group or (None,) * len(group), strict=True)]
            for group, of_group in zip(arguments[:count], axes, strict=False)
        ]
        found.append(scan_backward(*one, _select(arguments[count], axes[count], i), *arguments[count + 1 :]))
    return [torch.stack(each) for each in zip(*found, strict=True)], [0] * len(found[0])


def _select(leaf: Tensor | None, axis: Axis, index: int) -> Tensor | None:
    return leaf if leaf is None or axis is None else leaf.select(axis, index)


torch.library.register_vmap("bionets::scan", _join_scans)
torch.library.register_vmap("bionets::scan_backward", _run_backwards)
