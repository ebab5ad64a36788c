"""Schemas derived from constructors: arguments with their types and defaults."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, field, make_dataclass
from dataclasses import fields as fields_of
from inspect import Parameter, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Optional, Union, get_args, get_origin

from hydra_zen import BuildsFn
from hydra_zen.typing import SupportedPrimitive
from omegaconf import MISSING

from bionets.annotations import parameters_of
from bionets.experiment.config.schemas.run import MAPPING, free_mapping


def schema_of(
    target: Callable[..., Any], leave_out: Sequence[str] = (), partial: bool = False, **fields: tuple[Any, Any]
) -> type:
    """A dataclass with the arguments of ``target`` as fields, and its dotted path as ``_target_``.

    Args:
        target: a class or a function.
        leave_out: arguments that are not in the config.
        partial: whether further arguments are passed in the call, as for an optimizer.
        fields: additional fields, or replacements of the arguments with the same name, each a type and a default.
    """
    derived: Any = Builds.builds(
        target, populate_full_signature=True, zen_exclude=[*leave_out], zen_partial=partial or None
    )
    known = {each.name: each.type for each in fields_of(derived)}
    own = signature(target).parameters
    # hydra-zen leaves out partial targets, and arguments that a class passes to its base by ``**``.
    left = {name: each for name, each in parameters_of(target).items() if name not in known}
    further = {
        name: (Builds._sanitized_type(type_of(each)), MISSING if each.default is each.empty else each.default)
        for name, each in left.items()
        if name in own or each.default is not each.empty  # an argument of a base without a default is set by the class
    }
    kinds = {**known, **{name: kind for name, (kind, _) in further.items()}}
    mappings = {name: (MAPPING, free_mapping) for name, kind in kinds.items() if kind == MAPPING | None}
    chosen = {name: each for name, each in {**further, **mappings, **fields}.items() if name not in leave_out}
    more = [(name, kind, _field(default)) for name, (kind, default) in chosen.items()]
    return make_dataclass(target.__name__, more, bases=(derived,))


def type_of(argument: Parameter) -> Any:
    """The annotation of an argument; Any if it has none, or uses a name that is imported only for type checkers."""
    return Any if argument.annotation is argument.empty or isinstance(argument.annotation, str) else argument.annotation


def schema_of_arguments(target: Callable[..., Any], leave_out: Sequence[str]) -> type:
    """As `schema_of`, without ``_target_``, for a mapping of keyword arguments."""
    derived = fields_of(schema_of(target, leave_out))
    chosen = [(each.name, each.type, _field(each.default)) for each in derived if each.name != "_target_"]
    made = make_dataclass(f"{target.__name__}_arguments", chosen)
    made.__doc__ = target.__doc__
    return made


class Builds(BuildsFn[SupportedPrimitive]):
    """hydra-zen's `builds`, with the path under which a package exports a class, and with the types of `plain_type`. It
    overrides the two methods that hydra-zen documents for this purpose.
    """

    @classmethod
    def _get_obj_path(cls, target: Any) -> str:
        name = target.__name__
        parts = target.__module__.split(".")
        packages = [".".join(parts[:length]) for length in range(2, len(parts) + 1)]
        exported = (each for each in packages if getattr(sys.modules.get(each), name, None) is target)
        return f"{next(exported, target.__module__)}.{name}"

    @classmethod
    def _sanitized_type(cls, type_: Any, **options: Any) -> Any:
        return super()._sanitized_type(plain_type(type_), **options)


def plain_type(annotation: Any) -> Any:
    """The type in YAML: list for a sequence, str for a path, that of the choices for a Literal, a number for Tensor."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return type(arguments[0])
    if origin in (Union, UnionType):
        kinds = {plain_type(each) for each in arguments}
        known = {kind for kind in kinds if kind is not NoneType and getattr(kind, "__name__", "") != "Tensor"}
        known -= {int} if float in known else set()
        if len(known) != 1:
            return Any
        (kind,) = known
        return Optional[kind] if NoneType in kinds else kind  # noqa: UP045 - hydra-zen does not support kind | None
    if origin is tuple:
        return tuple.__class_getitem__(tuple(map(plain_type, arguments))) if Ellipsis not in arguments else list
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return MAPPING
    if isinstance(origin, type) and issubclass(origin, Sequence):
        inner: Any = plain_type(arguments[0])
        if get_origin(inner) is tuple:
            inner = list[get_args(inner)[0]]  # type: ignore[misc]
        return list[inner]
    return str if annotation is Path else annotation


def _field(default: Any) -> Field[Any]:
    if isinstance(default, type) or default is free_mapping:  # a new instance for every config
        factory: Any = default
        return field(default_factory=factory)
    return field(default=default) if default is not NO_DEFAULT else field()
