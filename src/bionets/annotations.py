"""Whether a value of a config has the type that an argument is annotated with."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, formatannotation, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from torch import Tensor


def require_types(path: str, function: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Check the values of a config against the annotations of a function, or of a class's constructor and those of its
    bases.

    A default is always accepted, an argument without an annotation takes anything, and an annotation that no value of a
    config can have, such as a module, is not checked.

    Args:
        path: what stands in front of an argument's name in an error.
        function: a class or a function.
        values: by the names of the arguments.

    Raises:
        ValueError: a value of another type, with the argument and its annotation.
    """
    parameters = parameters_of(function)
    for name, value in values.items():
        expected = parameters.get(name)
        if expected and value is not expected.default and not has_type(value, expected.annotation):
            raise ValueError(f"{path}{name} must be {formatannotation(expected.annotation)}, got {value!r}")


def parameters_of(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The arguments of a function by their names; those of a class with those of its bases, which it may hand on."""
    found: dict[str, Parameter] = {}
    for each in getattr(function, "__mro__", (function,)):
        try:
            parameters = signature(each, eval_str=True).parameters
        except (NameError, TypeError, ValueError):  # it does not tell, or names what type checkers alone import
            continue
        found |= {name: parameter for name, parameter in parameters.items() if name not in found}
    return found


def has_type(value: Any, annotation: Any) -> bool:
    """Whether a value of a config (None, a number, a text, a list or a mapping of such) may be called this type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return any(has_type(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    kind = origin or annotation
    if kind in (None, NoneType):
        return value is None
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if kind in (str, bool):
        return isinstance(value, kind)
    if kind is Path:
        return isinstance(value, str)
    if kind is Tensor:  # of numbers
        return not isinstance(value, str)
    if not isinstance(kind, type):
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and (not arguments or all_have_type(value.values(), arguments[1:]))
    if issubclass(kind, Sequence | set | frozenset):
        items = [each for each in arguments if each is not Ellipsis]
        return isinstance(value, list | tuple) and (not items or all_have_type(value, items))
    return True


def all_have_type(values: Iterable[Any], annotations: Sequence[Any]) -> bool:
    """Whether each value has one of these types."""
    return all(any(has_type(value, each) for each in annotations) for value in values)
