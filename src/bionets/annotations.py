"""Checks of the values of a config against the annotations of an argument."""

from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, MutableSequence, Sequence, Set
from inspect import Parameter, Signature, formatannotation, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from torch import Tensor

NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
PLAIN = (str, int, float, bool, list, dict)
SEQUENCES = (list, tuple, set, frozenset, Sequence, MutableSequence, Set, Collection, Iterable)
MAPPINGS = (dict, Mapping, MutableMapping)


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
        if expected and not is_default(value, expected) and not has_type(value, expected.annotation):
            raise ValueError(f"{path}{name} must be {_words(expected.annotation)}, got {value!r}")


def _words(annotation: Any) -> str:
    return formatannotation(annotation).replace("collections.abc.", "")


def require_one_of(path: str, choices: Collection[str], **values: str) -> None:
    """Raise ``ValueError`` with the first key whose value is not one of the choices; for ``path`` see
    `require_types`."""
    for name, value in values.items():
        if value not in choices:
            raise ValueError(f"{path}{name}={value} is unknown: choose {', '.join(choices)}")


def parameters_of(function: Callable[..., Any]) -> dict[str, Parameter]:
    """The arguments of a function that have a name; those of a class that hands others on by ``**`` with those of its
    bases. An annotation that cannot be evaluated stays a text.
    """
    found: dict[str, Parameter] = {}
    for each in getattr(function, "__mro__", (function,)):
        try:
            parameters = signature_of(each).parameters
        except (TypeError, ValueError):  # a class of C, say
            continue
        named = {name: parameter for name, parameter in parameters.items() if parameter.kind in NAMED}
        found |= {name: parameter for name, parameter in named.items() if name not in found}
        if not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return found


def signature_of(function: Callable[..., Any]) -> Signature:
    try:
        return signature(function, eval_str=True)
    except Exception:  # an annotation may be any text, and name what type checkers alone import
        return signature(function)


def is_default(value: Any, parameter: Parameter) -> bool:
    default = parameter.default
    return value is default or (type(value) is type(default) and isinstance(value, PLAIN) and value == default)


def has_type(value: Any, annotation: Any) -> bool:
    """Whether a value of a config (None, a number, a text, a list or a mapping of such) is of this type."""
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
        return isinstance(value, int | float | list | tuple)
    if kind in MAPPINGS:
        return isinstance(value, Mapping) and (not arguments or all_have_type(value.values(), arguments[1:]))
    if kind in SEQUENCES:
        items = [each for each in arguments if each is not Ellipsis]
        return isinstance(value, list | tuple) and (not items or all_have_type(value, items))
    return True


def all_have_type(values: Iterable[Any], annotations: Sequence[Any]) -> bool:
    """Whether each value has one of these types."""
    return all(any(has_type(value, each) for each in annotations) for value in values)
