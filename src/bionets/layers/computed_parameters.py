"""Parameters that something computes at each call of a module, as pruning and weight normalisation of PyTorch do."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

SUFFIXES = ("_orig", "_g", "_v")  # of what pruning, and weight or spectral normalisation, keep in place of a weight


def recompute_parameters(module: nn.Module, *inputs: Any) -> None:
    """Run the hooks by which `torch.nn.utils` computes parameters before each call, where a module is not called.

    Which hooks a module has is private in PyTorch: with another name of `_forward_pre_hooks`, pruned weights would be
    those of the last call.
    """
    for hook in module._forward_pre_hooks.values():
        if type(hook).__module__.startswith("torch.nn.utils."):
            hook(module, inputs)


def parameters_by_name(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters of a module and its parts, as they are after pruning, normalisation and parametrisations, by their
    names within the part that they belong to."""
    for path, part in module.named_modules():
        if "parametrizations" in path.split("."):
            continue
        recompute_parameters(part)
        names = dict.fromkeys((*part._parameters, *getattr(part, "parametrizations", ())))
        for name in names:
            plain = next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)
            if plain == name or plain not in names:
                yield plain, getattr(part, plain)
