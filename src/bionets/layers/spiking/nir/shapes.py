"""The shapes of the inputs and outputs of the modules of a model, for its NIR graph."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bionets.layers.plain_calls import temporary_evaluation, temporary_hooks
from bionets.layers.stateful import StatefulModule, temporary_states

Shape = tuple[int, ...]


def shapes_of_modules(model: nn.Module, sample: Tensor) -> dict[str, tuple[Shape, Shape]]:
    """The input and output shapes of every module for one sample, by name. Raises ValueError if a hook changes an input
    or an output, because NIR has no hooks."""
    shapes: dict[str, tuple[Shape, Shape]] = {}

    def hooks(name: str, module: nn.Module) -> Iterator[RemovableHandle]:
        """Hooks before and after the others of a module."""
        before: dict[str, Any] = {}
        called = name or "the model"

        def keep_input(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            before["input"] = _copies(inputs)

        def keep_output(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not isinstance(output, Tensor):
                raise ValueError(f"NIR: {called} must return one tensor, not a {type(output).__name__}")
            if not _equal(before["input"], _copies(inputs)):
                raise ValueError(f"NIR cannot express the hook that changes the input of {called}: remove it")
            before["output"] = _copies((output,))

        def note(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not _equal(before["output"], _copies((output,))):
                raise ValueError(f"NIR cannot express the hook that changes the output of {called}: remove it")
            if inputs:
                shapes[name] = (tuple(inputs[0].shape[1:]), tuple(output.shape[1:]))

        yield module.register_forward_pre_hook(keep_input, prepend=True)
        yield module.register_forward_hook(keep_output, prepend=True)
        yield module.register_forward_hook(note)

    parts = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, StatefulModule))
    named = [(name, module) for name, module in model.named_modules() if not name.startswith(parts)]
    every = (handle for each in named for handle in hooks(*each))
    with temporary_evaluation(model), temporary_states(model), temporary_hooks(every), torch.no_grad():
        model(sample)
    return shapes


def _copies(values: tuple[Any, ...]) -> list[Tensor]:
    return [value.clone() for value in values if isinstance(value, Tensor)]


def _equal(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) and all(
        one.shape == other.shape and torch.allclose(one, other.to(one), rtol=0, atol=0, equal_nan=True)
        for one, other in zip(some, others, strict=True)
    )
