"""Images pass a spiking layer without a copy: the scan alone makes tensors of their size."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bionets.layers.spiking import LIB

VIEWS = (
    "view",
    "_unsafe_view",
    "unsqueeze",
    "squeeze",
    "permute",
    "expand",
    "detach",
    "unbind",
    "alias",
    "select",
    "slice",
)


class Large(TorchDispatchMode):
    """Names the operations that make tensors of at least this size."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.names = size, set[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        leaves = torch.utils._pytree.tree_leaves(result)
        name = func.overloadpacket.__name__
        if name not in VIEWS and any(isinstance(leaf, Tensor) and leaf.numel() >= self.size for leaf in leaves):
            self.names.add(name)
        return result


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_spiking_layer_does_not_copy_its_input(memory_format: torch.memory_format) -> None:
    layer = LIB(3, dim=-3, spike_fn="arctan")
    x = torch.rand(4 * 2, 3, 5, 6).contiguous(memory_format=memory_format).unflatten(0, (4, 2)).requires_grad_()
    weight = torch.rand_like(x)
    layer.over_time(x)
    with Large(x.numel()) as large:
        y, _ = layer.over_time(x)
        (gradient,) = torch.autograd.grad(y, x, weight)
    assert large.names == {"scan", "scan_backward"}
    assert gradient.stride() == x.stride() == y.stride()


def test_a_time_invariant_input_is_not_repeated() -> None:
    layer, image = LIB(3, dim=-3, spike_fn="arctan"), torch.rand(2, 3, 5, 6)
    layer.over_time(image.expand(4, *image.shape))
    with Large(4 * image.numel()) as large, torch.no_grad():
        layer.over_time(image.expand(4, *image.shape))
    assert large.names == {"scan"}
