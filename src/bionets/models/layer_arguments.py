"""Layers by dotted path: checks of the arguments of their constructors, and of the interface of a user's own layer."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn

from bionets.annotations import NAMED, require_types
from bionets.import_path import import_object
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.models.checks import InterfaceError
from bionets.scan.eager import is_exporting


def import_layer(path: str) -> Any:
    """The class, or the function that builds a layer, with this dotted path."""
    try:
        found = import_object(path)
    except ValueError as error:
        raise ValueError(
            f"model.layer={path} cannot be imported ({error}): write it as package.module.Class"
        ) from error
    if not callable(found):
        raise ValueError(f"model.layer={path} is not a class: write it as package.module.Class")
    return found


def build_layer(
    layer: Callable[..., Any],
    *sizes: int,
    arguments: Mapping[str, Any],
    defaults: Mapping[str, Any],
    prefix: str = "model.layer_arguments.",
    **always: Any,
) -> Any:
    """``layer(*sizes, **always, **arguments)``.

    An argument that the constructor does not have is left out if its value is that in ``defaults``. The value of an
    argument for a pair, such as ``beta`` for ``pos_beta`` and ``neg_beta``, is passed to both.

    Args:
        layer: the class, or a function that builds it.
        sizes: the first positional arguments.
        arguments: arguments by name, as in the config.
        defaults: values with which an argument may be left out for layers that do not have it.
        prefix: prefix of the names of the arguments in errors.
        always: arguments that every layer takes.

    Raises:
        ValueError: the constructor does not have an argument; or takes it by ``**`` without storing an attribute of
            this name and value, so that it may have been ignored; or a value does not have the annotated type; or the
            result is not a module.
    """
    names, takes_any = named_arguments(layer)
    given: dict[str, Any] = {}
    unnamed: dict[str, Any] = {}
    for name, value in arguments.items():
        pair = (f"pos_{name}", f"neg_{name}")
        if name in names:
            given[name] = value
        elif set(pair) <= set(names):
            given |= {each: value for each in pair if each not in arguments}
        elif not (name in defaults and value == defaults[name]):
            unnamed[name] = value
        elif takes_any:
            given[name] = value
    called = getattr(layer, "__name__", str(layer))
    if unnamed and not takes_any:
        name, value = next(iter(unnamed.items()))
        raise ValueError(f"{prefix}{name}={value}: {called} takes no {name}; it takes {', '.join(names)}")
    require_types(prefix, layer, given)
    try:
        built = layer(*sizes, **always, **given, **unnamed)
    except AssertionError as error:  # as of `torch.nn.MultiheadAttention`
        raise ValueError(f"{called} refuses its arguments: {error}") from error
    if not isinstance(built, nn.Module):
        raise ValueError(f"{called} is not the class of a layer: it returns a {type(built).__name__}")
    if isinstance(built, nn.RNNBase | RecurrentLayer):  # these take all arguments by ** and refuse unknown names
        return built
    for name, value in unnamed.items():
        if not _has(built, name, value):
            raise ValueError(
                f"{prefix}{name}={value}: {called} takes it by ** and may ignore it: name it in the constructor"
            )
    return built


def _has(layer: nn.Module, name: str, value: Any) -> bool:
    """Whether an attribute has this value; a parameter may differ by rounding, since its raw value is stored."""
    found = getattr(layer, name, None)
    if isinstance(found, Tensor):
        return isinstance(value, int | float) and torch.allclose(found, found.new_tensor(value))
    return bool(found == value)


def named_arguments(layer: Callable[..., Any]) -> tuple[list[str], bool]:
    """The names of the arguments in their order, and whether the layer accepts others by ``**``."""
    try:
        parameters = signature(layer).parameters.values()
    except (TypeError, ValueError):  # it has no signature
        return [], True
    names = [each.name for each in parameters if each.kind in NAMED]
    return names, any(each.kind == Parameter.VAR_KEYWORD for each in parameters)


def require_forward(layer: nn.Module, reason: str, *positional: str, **named: str) -> None:
    """Raise InterfaceError with the reason if the forward of a layer does not accept these arguments after x."""
    try:
        signature(layer.forward).bind("x", *positional, **named)
    except TypeError:
        wanted = ", ".join(["self", "x", "h=None", *(f"{name}=None" for name in named)])
        raise InterfaceError(f"{reason}: write {type(layer).__name__}.forward({wanted})") from None


def outputs_and_state(
    layer: nn.Module, found: Any, x: Tensor, size: int, *, every_step: bool = True
) -> tuple[Tensor, Any]:
    """Check the result of a layer for x ``[T, B, I]``, and return the outputs ``[T, B, size]`` and the last state.
    Further values are ignored. Without ``every_step`` there may be outputs of fewer steps.

    Raises:
        InterfaceError: the result has another form, or its last state is that of a layer that expects the batch first,
            whose recurrence would run over the samples.
    """
    name = type(layer).__name__
    if not isinstance(found, tuple | list) or len(found) < 2 or not isinstance(found[0], Tensor):
        kind = type(found).__name__
        raise InterfaceError(
            f"{name}.forward must return a pair, its outputs [T, B, H] and its last state; got a {kind}"
        )
    output, state = found[:2]
    wanted = (*x.shape[:2], size)
    if output.shape[1:] != wanted[1:] or (every_step and len(output) != len(x)):
        raise InterfaceError(
            f"{name}.forward must return outputs [T, B, H], here {list(wanted)}; got {list(output.shape)}"
        )
    if is_exporting():  # comparisons with the batch size would become conditions of the program
        return output, state
    steps, batch = x.shape[:2]
    for each in state if isinstance(state, tuple | list) else [state]:
        if isinstance(each, Tensor) and steps in each.shape[:-1] and batch not in each.shape:
            raise InterfaceError(
                f"{name}.forward must return the last state of {batch} samples, got {list(each.shape)}: its recurrence "
                f"runs over the samples, because x is [T, B, I], here {list(x.shape)}; leave out batch_first=True"
            )
    return output, state
