"""Identity of step functions: a step that is provably the same as an earlier step is not traced again.

A function is identified by its code, its defaults, and the values that it reads from outside, provided that all of
them are immutable: numbers, strings, enums, tuples of these, functions of torch or of `math`, and functions that
read nothing else. A function that reads any other value (an object, a list, a tensor, the clock) has no identity and is
traced at every call.

Assumption: no program replaces functions inside classes of torch, the standard library or this package.
"""

import builtins
import collections
import enum
import functools
import itertools
import types
import weakref
from collections.abc import Hashable, Mapping
from typing import Any, cast

import numpy as np
import torch

from bionets.scan.last_used import LastUsed
from bionets.scan.trace.bytecode import Chain, Reads, reads_of
from bionets.scan.trace.dependencies import MISSING, Dependencies, NoDependencies, records


def identify(step: Any) -> Hashable | None:
    """A key that is equal for steps with the same computation; None if the step may read a value that changes."""
    try:
        return _key(step, _NOTHING)
    except _Mutable:
        return None


class _Mutable(Exception):
    """A value that may change while its identity stays the same."""


_PLAIN = {int, bool, str, bytes, range, type(None), type(Ellipsis), type(NotImplemented)}
_PLAIN |= {torch.dtype, torch.device, torch.layout, torch.memory_format}
_BUILTINS: set[Any] = {abs, all, any, bool, callable, complex, dict, divmod, enumerate, filter, float, frozenset}
_BUILTINS |= {getattr, hasattr, int, isinstance, issubclass, iter, len, list, map, max, min, next, object, pow}
_BUILTINS |= {property, range, repr, reversed, round, set, slice, sorted, str, sum, tuple, type, zip}
_BUILTINS |= {value for value in vars(builtins).values() if isinstance(value, type) and issubclass(value, Exception)}
# packages whose classes, and modules whose built-in functions, are assumed to be constant
_CLASSES = {"builtins", "torch", "bionets", "types", "typing", "collections", "functools", "enum", "numbers", "numpy"}
_FUNCTIONS = {"torch", "math", "cmath", "_operator", "_functools", "itertools"}
# modules of torch whose functions read only their arguments, unlike functions of `torch.distributed`
_OF_TENSORS = {"torch", "torch.functional", "torch.nn.functional", "torch.autograd.function", "torch._tensor"}
_FACTORIES = ("zeros", "ones", "full", "tensor", "scalar_tensor", "as_tensor", "promote_types", "result_type")
_ENUM = {"_value_", "_name_", "_sort_order_", "__objclass__"}


_numbers: LastUsed[int] = LastUsed(4096)  # of identities, which are long
_counter = itertools.count(1)
_NOTHING = NoDependencies()


def _recorded(owner: Any, dependencies: Dependencies) -> int:
    """The number of the identity of a function or a class, cached while the values that were read are unchanged."""
    record = records.get(id(owner))
    if record is None or record.owner() is not owner or not record.is_current():
        if id(owner) in dependencies.path:
            raise _Mutable("recursion")
        record = Dependencies(owner, dependencies.path)
        key = _of_class(owner, record) if isinstance(owner, type) else _of_function(owner, record)
        number = _numbers.get(key)
        if number is None:
            number = _numbers[key] = next(_counter)
        record.number = number
        records[id(owner)] = record
    dependencies.include(record)
    return record.number


def _key(value: Any, dependencies: Dependencies) -> Hashable:
    """The identity of a value. dependencies: those of the function that holds the value."""
    kind = type(value)
    if kind in _PLAIN:
        return (kind, value)
    if kind is float:
        return value.hex()  # distinguishes 0.0 from -0.0, and is equal for NaN
    if kind is types.FunctionType:
        module = str(value.__globals__.get("__name__"))
        if module.partition(".")[0] == "torch" and not value.__closure__:
            return _stateless(value, module)
        return _recorded(value, dependencies)
    if kind is functools.partial:
        return _of_partial(value, dependencies)
    if issubclass(kind, tuple):
        parts = tuple(_key(part, dependencies) for part in value)
        if kind is tuple:
            return (kind, parts)
        attributes = _of_names(vars(value), dependencies) if hasattr(value, "__dict__") else None
        return (_of_type(kind, dependencies), attributes, parts)
    if issubclass(kind, type):
        return _of_type(value, dependencies)
    if kind in (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType):
        return _of_builtin(value)
    if kind is types.MethodType:
        return _of_method(value, dependencies)
    if isinstance(value, enum.Enum):
        return _of_enum(value, dependencies)
    if isinstance(value, np.number | np.bool_) and kind.__module__ == "numpy":
        return (kind, value.tobytes())
    if kind is complex:
        return (kind, value.real.hex(), value.imag.hex())
    if kind is np.ufunc or (kind.__module__ == "torch._ops" and str(value).startswith("aten.")):
        return value  # operators from outside torch may read any value
    raise _Mutable(kind.__name__)


def _of_function(function: types.FunctionType, dependencies: Dependencies) -> Hashable:
    code, defaults, keywords = function.__code__, function.__defaults__, function.__kwdefaults__
    reads = reads_of(code)
    if not reads.complete or reads.write:
        raise _Mutable(function.__name__)
    dependencies.functions.append((weakref.ref(function), code, defaults, keywords))
    names = (keywords, function.__dict__)
    of_names = [_of_names(mapping, dependencies) for mapping in names if mapping is not None]
    found = [_of_chain(function, chain, dependencies) for chain in sorted(reads.globals)]
    free: list[Hashable] = []
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            content = cell.cell_contents
        except ValueError:
            raise _Mutable(name) from None
        dependencies.cells.append((cell, content))
        chains = sorted(chain for chain in reads.free if chain[0] == name)
        if isinstance(content, types.ModuleType):
            free += [_of_attributes(content, chain[1:], dependencies) for chain in chains]
        else:
            free.append(_key(content, dependencies))
    return (code, _key(defaults, dependencies), *of_names, *found, *free)


def _of_names(names: Mapping[str, Any], dependencies: Dependencies) -> Hashable:
    dependencies.all_of(names)
    return tuple((name, _key(dependencies.lookup(names, name), dependencies)) for name in sorted(names))


def _of_chain(function: types.FunctionType, chain: Chain, dependencies: Dependencies) -> Hashable:
    """The identity of a global, or if it is a module, of the attributes that are read from it."""
    value = dependencies.lookup(function.__globals__, chain[0])
    if value is MISSING:
        value = dependencies.lookup(cast(Any, function).__builtins__, chain[0])
    return _of_attributes(value, chain[1:], dependencies)


def _of_attributes(value: Any, attributes: Chain, dependencies: Dependencies) -> Hashable:
    for name in attributes:
        if not isinstance(value, types.ModuleType):
            break
        value = dependencies.lookup(vars(value), name)
    return _key(value, dependencies)


def _of_partial(value: Any, dependencies: Dependencies) -> Hashable:
    given = [_of_names(names, dependencies) for names in (value.keywords, vars(value))]
    return (functools.partial, _key(value.func, dependencies), _key(value.args, dependencies), *given)


def _of_method(method: Any, dependencies: Dependencies) -> Hashable:
    function, owner = method.__func__, method.__self__
    if not isinstance(function, types.FunctionType):
        raise _Mutable("method")
    if not isinstance(owner, type) and reads_of(function.__code__).reads_first:
        owner = _key(owner, dependencies)
    elif isinstance(owner, type):
        owner = _of_type(owner, dependencies)
    else:  # the method does not read the object to which it is bound
        owner = None
    return (types.MethodType, _key(function, dependencies), owner)


def _of_builtin(value: Any) -> Hashable:
    owner, module = getattr(value, "__self__", None), getattr(value, "__module__", None) or ""
    if isinstance(value, types.BuiltinFunctionType):
        package = module.partition(".")[0]
        if package == "torch":
            return _stateless(value, "torch")
        if value in _BUILTINS or (package in _FUNCTIONS and (owner is None or isinstance(owner, types.ModuleType))):
            return value
        if isinstance(owner, type) and value.__name__ == "__new__":  # tuple.__new__
            return value
    elif value.__objclass__.__module__.partition(".")[0] in _CLASSES:
        return value
    raise _Mutable("built-in function")


@functools.cache
def _settings() -> set[Any]:
    """The functions of torch that take no tensor and may therefore read a setting (`torch.is_grad_enabled`)."""
    return torch.overrides.get_ignored_functions() - {getattr(torch, name) for name in _FACTORIES}


def _stateless(function: Any, module: str) -> Hashable:
    if module not in _OF_TENSORS or function in _settings():
        raise _Mutable("a setting of torch")
    return function


def _of_type(cls: type, dependencies: Dependencies) -> Hashable:
    package = cls.__module__.partition(".")[0]
    if cls in _BUILTINS or (package in _CLASSES and package != "builtins"):
        return cls
    return _recorded(cls, dependencies)


def _of_class(cls: type, dependencies: Dependencies) -> Hashable:
    """The identity of a user-defined class, such as a named tuple, an enum or an autograd function."""
    if type(cls).__module__.partition(".")[0] not in ("builtins", *_CLASSES):
        raise _Mutable("a metaclass")
    names = vars(cls)
    dependencies.all_of(names)
    members: Mapping[str, Any] = cls.__members__ if isinstance(cls, enum.EnumMeta) else {}
    found: list[Hashable] = [cls, *(_of_member(member, dependencies) for member in members.values())]
    for name in names:
        value = dependencies.lookup(names, name)
        if name in _OF_CLASSES or name in members or (members and name in _OF_ENUMS):
            continue
        value = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if getattr(getattr(value, "__code__", None), "co_filename", None) == collections.__file__:
            continue  # a method that every named tuple has
        if type(value) is property:
            found += [_key(each, dependencies) for each in (value.fget, value.fset, value.fdel)]
        elif type(value).__name__ != "_tuplegetter":
            found.append(_key(value, dependencies))
    bases = tuple(_of_type(base, dependencies) for base in cls.__bases__ if base is not object)
    return (tuple(found), bases)


# names in classes that Python, `typing.NamedTuple` and `torch.autograd.Function` set for internal use
_OF_CLASSES = {"__doc__", "__module__", "__annotations__", "__orig_bases__", "__dict__", "__weakref__"}
_OF_CLASSES |= {"_field_defaults", "_backward_cls", "__annotate__", "__annotate_func__", "__annotations_cache__"}
_OF_CLASSES |= {"__parameters__", "__firstlineno__", "__static_attributes__"}
_OF_ENUMS = {name for name in vars(enum.Enum("_", "a")) if name.startswith("_")}


def _of_enum(member: enum.Enum, dependencies: Dependencies) -> Hashable:
    return (_of_type(type(member), dependencies), _of_member(member, dependencies))


def _of_member(member: enum.Enum, dependencies: Dependencies) -> Hashable:
    names = vars(member)
    dependencies.all_of(names)
    for name in names:
        dependencies.lookup(names, name)
    others = tuple((name, _key(names[name], dependencies)) for name in names if name not in _ENUM)
    return (member.name, _key(member._value_, dependencies), others)


def global_write(step: Any) -> str | None:
    """The line where a step assigns a variable outside the step, or None; `step` may be a partial or a method."""
    function = step
    while not isinstance(function, types.FunctionType):
        following = getattr(function, "func", None) or getattr(function, "__func__", None)
        if following is None:
            return None
        function = following
    reads: Reads = reads_of(function.__code__)
    if reads.write is None:
        return None
    name, line = reads.write
    return f"it assigns {name!r}, a variable outside of it ({function.__code__.co_filename}, line {line})"
