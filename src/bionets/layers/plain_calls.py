"""Calls that run only a module's forward, so that `unroll` may replace them by a faster computation."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils.hooks import RemovableHandle

Hook = Callable[..., Any]

RANDOM = (
    nn.modules.dropout._DropoutNd,  # private: the base class of all dropout layers
    nn.RReLU,
    nn.FractionalMaxPool2d,
    nn.FractionalMaxPool3d,
    nn.MultiheadAttention,
    nn.RNNBase,
)
NORMS = (nn.modules.batchnorm._NormBase,)  # private: the base class of batch and instance normalisation
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def sees_single_steps(hook: Hook) -> Hook:
    """Mark a forward hook that accepts the single step ``[B, ...]`` of a time-invariant sequence instead of all T·B
    samples. `unroll` then uses its shortcut although the module has this hook."""
    hook.sees_single_steps = True  # type: ignore[attr-defined]
    return hook


@contextmanager
def temporary_hooks(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Register hooks within this context; the handles are returned by PyTorch's ``register_...``."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


@contextmanager
def temporary_evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within this context; after it, each module has the mode that it had before."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:  # parents first, because their mode is applied to their children
            module.train(training)


def calls_only(module: nn.Module, forward: Callable[..., Any], *, marked_hooks: bool = False) -> bool:
    """Whether calling the module runs only this forward. ``marked_hooks`` allows hooks marked by `sees_single_steps`.

    Torch has no public function to query the hooks of a module; the names of their dictionaries may change.
    """
    own, hooks = vars(module), module._forward_hooks.values()
    return (
        type(module).__call__ is nn.Module.__call__
        and type(module).forward is forward
        and "forward" not in own
        and own.get("_compiled_call_impl") is None
        and not (module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks)
        and all(marked_hooks and getattr(hook, "sees_single_steps", False) for hook in hooks)
        and not torch_module._has_any_global_hook()
    )


def flatten_sequential(model: nn.Module) -> list[nn.Module]:
    """The modules that a call of the model runs in sequence: the modules of a plain `torch.nn.Sequential`, also of
    nested ones; otherwise the model itself."""
    if not calls_only(model, nn.Sequential.forward):
        return [model]
    return [inner for layer in model._modules.values() if layer is not None for inner in flatten_sequential(layer)]


def is_time_invariant(module: nn.Module, x: Any) -> bool:
    """Whether the module certainly returns the same output at every step for the same input x, without effects that
    depend on the number of steps: torch's layers without randomness, and without running statistics that `run_one_step`
    cannot correct."""
    return all(
        type(each).__module__.startswith("torch.nn.modules.")
        and calls_only(each, type(each).forward, marked_hooks=True)
        and not (each.training and isinstance(each, RANDOM))
        and not (_takes_statistics(each) and not (each is module and _several_samples(each, x)))
        for each in module.modules()
    )


def run_one_step(module: nn.Module, x: Tensor, time: int) -> Any:
    """The output for a single step x that is repeated ``time`` times; running statistics are those of all steps."""
    if not (isinstance(module, BATCH_NORMS) and module.training and module.running_var is not None):
        return module(x)
    before = module.running_var
    module.running_var = before.clone()  # the backward pass keeps this copy, so that the original may be changed
    y = module(x)
    after, module.running_var = module.running_var, before
    samples = x.numel() // x.shape[1]
    momentum = 1 / float(module.num_batches_tracked or 1) if module.momentum is None else module.momentum
    # The unbiased variance of n samples repeated T times is T(n − 1)/(Tn − 1) times the variance of the n samples.
    ratio = time * (samples - 1) / (time * samples - 1)
    with torch.no_grad():
        kept = (1 - momentum) * before
        before.copy_(kept + ratio * (after - kept))
    return y


def _takes_statistics(module: nn.Module) -> bool:
    return isinstance(module, NORMS) and (module.training or module.running_mean is None)


def _several_samples(norm: nn.Module, x: Any) -> bool:
    """Whether this is a batch normalisation for which x has more than one value per channel, as torch requires."""
    return type(norm) in BATCH_NORMS and isinstance(x, Tensor) and x.dim() > 1 and x.numel() > x.shape[1]
