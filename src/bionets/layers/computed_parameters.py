"""Parameters that are computed at each call of a module, for example by PyTorch's pruning and weight normalisation."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

SUFFIXES = ("_orig", "_g", "_v")  # of the parameters that pruning, weight and spectral normalisation store


def recompute_parameters(module: nn.Module, *inputs: Any) -> None:
    """Run the hooks of `torch.nn.utils` that compute parameters before each call, for a module that is not called.

    The attribute `_forward_pre_hooks` is private in PyTorch: if renamed, pruned weights would be outdated.
    """
    for hook in module._forward_pre_hooks.values():
        if type(hook).__module__.startswith("torch.nn.utils."):
            hook(module, inputs)


def parameters_by_name(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters of a module and its submodules after pruning, normalisation and parametrisations, with their names
    within their submodules."""
    for path, part in module.named_modules():
        if "parametrizations" in path.split("."):
            continue
        recompute_parameters(part)
        names = dict.fromkeys((*part._parameters, *getattr(part, "parametrizations", ())))
        for name in names:
            plain = next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)
            if plain == name or plain not in names:
                yield plain, getattr(part, plain)
