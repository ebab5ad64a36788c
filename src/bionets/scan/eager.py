"""Checks for modes, function transforms and compilers around a call, and for tensors whose values are not in memory."""

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import _disable_current_modes  # private; torch's own tracers use it


def is_eager(tensors: Iterable[Tensor]) -> bool:
    """Whether these are plain tensors, outside of any dispatch mode, function transform or compiler."""
    return (
        not torch.compiler.is_compiling()
        and not torch._C._len_torch_dispatch_stack()
        and not in_transform()
        and forward_ad._current_level < 0
        and all(type(tensor) is Tensor or type(tensor) is nn.Parameter for tensor in tensors)
    )


def is_exporting() -> bool:
    """Whether a program is being recorded that must run without bionets: by torch.export, or by torch.jit.trace, which
    also serves the former ONNX exporter and the graphs of TensorBoard."""
    return torch.compiler.is_exporting() or torch.jit.is_tracing()  # type: ignore[attr-defined]


def needs_reference() -> str | None:
    """The function transform around a call that only the reference backend supports, if there is one."""
    if forward_ad._current_level >= 0:  # private, as in is_eager: the public functions work only within a level
        return "forward-mode differentiation (torch.func.jvp, dual numbers)"
    if in_transform() and not torch.compiler.is_compiling():
        stack = torch._C._functorch.get_interpreter_stack() or ()  # private: there is no public name for it
        if any(each.key() == torch._C._functorch.TransformType.Grad for each in stack):
            return "gradients of torch.func (grad, vjp, jacrev; torch.autograd.grad is compiled)"
    return None


def backward_pass() -> int:
    """The number of the backward pass within which this is called; -1 outside of any."""
    return -1 if torch.compiler.is_compiling() else torch._C._current_graph_task_id()  # private: no public name for it


def in_transform() -> bool:
    """Whether a function transform (torch.vmap, torch.func.grad) is around a call."""
    return torch._C._are_functorch_transforms_active()  # private: no public name for it


def is_batched(tensor: Tensor) -> bool:
    """Whether torch.vmap batches a tensor."""
    return torch._C._functorch.is_batchedtensor(tensor)  # private: no public name for it


def is_batched_gradient(tensor: Tensor) -> bool:
    """Whether `torch.autograd.grad(is_grads_batched=True)` batches a gradient."""
    return torch._C._functorch.is_legacy_batchedtensor(tensor)  # private: no public name for it


def outside_transforms() -> AbstractContextManager[Any]:
    """A context outside of all function transforms around a call, whose new tensors are plain."""
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack  # private: no public name for it

    return temporarily_clear_interpreter_stack()


def has_own_operations(tensor: Tensor) -> bool:
    """Whether the class of a tensor overrides operations; only the reference backend calls them."""
    kind = type(tensor)
    return kind is not Tensor and kind.__torch_function__ is not torch._C._disabled_torch_function_impl


def is_materialized(tensor: Tensor) -> bool:
    """Whether the values of a tensor are in memory: not lazily negated, and not a zero tensor without memory."""
    return not tensor.is_neg() and not tensor._is_zerotensor()  # private: no public name for it


def materialize(tensor: Tensor) -> Tensor:
    """The tensor with its values in memory."""
    return tensor.clone() if tensor._is_zerotensor() else tensor.resolve_neg()


@contextlib.contextmanager
def plain_eager() -> Iterator[None]:
    """Enable gradients, and disable autocast and all modes of the caller."""
    with (
        _without_saved_tensors_hooks(),
        _disable_current_modes(),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autograd.set_detect_anomaly(False),  # the example values of the trace may give NaN
        torch.autocast("cpu", enabled=False),
        torch.device("cpu"),
    ):
        yield


@contextlib.contextmanager
def _without_saved_tensors_hooks() -> Iterator[None]:
    """Suspend the hooks for saved tensors of the caller, for example of a checkpoint around the scan, which are not for
    the tensors of a trace."""
    autograd, hooks = torch._C._autograd, []  # private: there is no public way to suspend hooks
    while hook := autograd._top_saved_tensors_default_hooks(True):
        hooks.append(hook)
        autograd._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for hook in reversed(hooks):
            autograd._push_saved_tensors_default_hooks(*hook)
