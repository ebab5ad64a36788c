"""The memory of the tensors that autograd saves for the backward pass."""

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class _Kept:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def peak_saved_bytes(run: Callable[[], Any]) -> int:
    """The peak bytes of the tensors, without parameters, that autograd saves for backward passes within `run`."""
    kept: Counter[tuple[int, int]] = Counter()
    now = most = 0

    def pack(tensor: Tensor) -> _Kept:
        nonlocal now, most
        if isinstance(tensor if tensor._base is None else tensor._base, nn.Parameter):  # or a view, such as weight.T
            return _Kept(tensor)
        place = (tensor.data_ptr(), tensor.numel() * tensor.element_size())
        kept[place] += 1
        if kept[place] == 1:
            now += place[1]
            most = max(most, now)
        one = _Kept(tensor.detach())
        weakref.finalize(one, release, place)
        return one

    def release(place: tuple[int, int]) -> None:
        nonlocal now
        kept[place] -= 1
        if not kept[place]:
            now -= place[1]

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one.tensor):
        run()
    return most
