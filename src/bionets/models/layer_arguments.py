"""Layers by their dotted path, and their arguments: each is taken by the constructor, or refused by name. What a layer
of the user's own is called with, and what it returns."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from torch import Tensor, nn

from bionets.annotations import NAMED, require_types
from bionets.import_path import import_object
from bionets.layers.recurrent.recurrent_layer import RecurrentLayer
from bionets.models.checks import InterfaceError


def import_layer(path: str) -> type[nn.Module]:
    """The class that a dotted path names."""
    try:
        return import_object(path)
    except ValueError as error:
        raise ValueError(
            f"model.layer={path} cannot be imported ({error}): write it as package.module.Class"
        ) from error


def build_layer(
    layer: Callable[..., Any],
    *sizes: int,
    arguments: Mapping[str, Any],
    defaults: Mapping[str, Any],
    prefix: str = "model.layer_arguments.",
    **always: Any,
) -> Any:
    """``layer(*sizes, **always, **arguments)``.

    An argument that the constructor does not name is left out where it has the value in ``defaults``, since no user
    asked for it. One that stands for a pair, as ``beta`` does for ``pos_beta`` and ``neg_beta``, is given to both.

    Args:
        layer: the class, or a function that builds it.
        sizes: the first positional arguments.
        arguments: by name, as the config has them.
        defaults: the values of arguments that mean nothing to layers without them.
        prefix: of the arguments' names in an error.
        always: arguments that every layer takes.

    Raises:
        ValueError: an argument that the constructor does not take; or that it takes by ``**`` without keeping an
            attribute of that name and value, so that it may have been ignored; or a value of another type than the
            constructor says.
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
    built = layer(*sizes, **always, **given, **unnamed)
    if isinstance(built, nn.RNNBase | RecurrentLayer):  # these take all by ** and refuse what they do not know
        return built
    for name, value in unnamed.items():
        if getattr(built, name, None) != value:
            raise ValueError(
                f"{prefix}{name}={value}: {called} takes it by ** and may ignore it: name it in the constructor"
            )
    return built


def named_arguments(layer: Callable[..., Any]) -> tuple[list[str], bool]:
    """The names of the arguments in their order, and whether the layer takes others by ``**``."""
    try:
        parameters = signature(layer).parameters.values()
    except (TypeError, ValueError):  # it does not tell
        return [], True
    names = [each.name for each in parameters if each.kind in NAMED]
    return names, any(each.kind == Parameter.VAR_KEYWORD for each in parameters)


def require_forward(layer: nn.Module, reason: str, *positional: str, **named: str) -> None:
    """Raise ValueError if the forward of a layer does not take these arguments after x, with the reason to need them.

    Layers of torch and bionets take them, or are called in another way.
    """
    if isinstance(layer, nn.RNNBase | RecurrentLayer):
        return
    try:
        signature(layer.forward).bind("x", *positional, **named)
    except TypeError:
        wanted = ", ".join(["self", "x", "h=None", *(f"{name}=None" for name in named)])
        raise ValueError(f"{reason}: write {type(layer).__name__}.forward({wanted})") from None


def outputs_and_state(layer: nn.Module, found: Any, x: Tensor, size: int) -> tuple[Tensor, Any]:
    """What a layer has returned for x ``[T, B, I]``: outputs ``[T, B, size]`` and the last state.

    Raises:
        InterfaceError: it is something else.
    """
    name = type(layer).__name__
    if not isinstance(found, tuple | list) or len(found) != 2 or not isinstance(found[0], Tensor):
        kind = type(found).__name__
        raise InterfaceError(
            f"{name}.forward must return a pair, its outputs [T, B, H] and its last state; got a {kind}"
        )
    output, state = found
    wanted = (*x.shape[:2], size)
    if output.shape != wanted:
        raise InterfaceError(
            f"{name}.forward must return outputs [T, B, H], here {list(wanted)}; got {list(output.shape)}"
        )
    return output, state
