"""Identity of step functions: those that are provably the same as one seen before are not traced again.

A function is identified by its code, its defaults, and the values of all that it reads from outside, where each of
these is immutable: a number, a string, an enum, a tuple of such, a function of torch or of `math`, or a function that
reads nothing else. A function that reads anything else (an object, a list, a tensor, the clock) has no identity; it is
traced at every call.

Assumed: nobody replaces functions inside classes of torch, the standard library or this package.
"""

import builtins
import collections
import enum
import functools
import itertools
import threading
import types
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch

from bionets.scan.reads import Chain, Reads, reads_of

Value = TypeVar("Value")


class LastUsed(Generic[Value]):
    """A table of at most `size` entries, which forgets what was looked up longest ago. For several threads."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.RLock()  # a weak reference may call `pop` while the lock is held

    def get(self, key: Hashable) -> Value | None:
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def __setitem__(self, key: Hashable, value: Value) -> None:
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self.size:
                self._entries.popitem(last=False)

    def pop(self, key: Hashable) -> None:
        with self._lock:
            self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)


def identify(step: Any) -> Hashable | None:
    """Equal for steps that compute the same; None where the step may read something that changes."""
    try:
        return _key(step, None, ())
    except _Mutable:
        return None


class _Mutable(Exception):
    """Something that may change without being noticed."""


_MISSING = object()
_PLAIN = {int, bool, str, bytes, range, type(None), type(Ellipsis), type(NotImplemented)}
_PLAIN |= {torch.dtype, torch.device, torch.layout, torch.memory_format}
_BUILTINS: set[Any] = {abs, all, any, bool, callable, complex, dict, divmod, enumerate, filter, float, frozenset}
_BUILTINS |= {getattr, hasattr, int, isinstance, issubclass, iter, len, list, map, max, min, next, object, pow}
_BUILTINS |= {property, range, repr, reversed, round, set, slice, sorted, str, sum, tuple, type, zip}
_BUILTINS |= {value for value in vars(builtins).values() if isinstance(value, type) and issubclass(value, Exception)}
# packages all of whose classes, and modules all of whose built-in functions, are taken to be constant
_CLASSES = {"builtins", "torch", "bionets", "types", "typing", "collections", "functools", "enum", "numbers", "numpy"}
_FUNCTIONS = {"torch", "math", "cmath", "_operator", "_functools", "itertools"}
_FACTORIES = ("zeros", "ones", "full", "tensor", "scalar_tensor", "as_tensor", "promote_types", "result_type")
_ENUM = {"_value_", "_name_", "_sort_order_", "__objclass__"}


class _Checks:
    """The values that were read to identify a function or a class; the identity holds as long as they are unchanged."""

    def __init__(self) -> None:
        self.lookups: dict[tuple[int, str], tuple[Mapping[str, Any], str, Any]] = {}
        self.sizes: dict[int, tuple[Any, int]] = {}
        self.cells: list[tuple[Any, Any]] = []
        self.functions: list[tuple[Any, Any, Any, Any]] = []

    def lookup(self, names: Mapping[str, Any], name: str) -> Any:
        value = names.get(name, _MISSING)
        self.lookups[id(names), name] = (names, name, value)
        return value

    def all_of(self, names: Mapping[str, Any]) -> None:
        self.sizes[id(names)] = (names, len(names))

    def include(self, other: "_Record") -> None:
        self.lookups |= {(id(names), name): (names, name, value) for names, name, value in other.lookups}
        self.sizes |= {id(names): (names, size) for names, size in other.sizes}
        self.cells += other.cells
        self.functions += other.functions


class _Record:
    """The identity of a function or a class, with all that was read to find it."""

    def __init__(self, owner: Any, number: int, checks: _Checks) -> None:
        key = id(owner)
        self.owner = weakref.ref(owner, lambda _: _records.pop(key))
        self.number = number
        self.lookups = tuple(checks.lookups.values())
        self.sizes = tuple(checks.sizes.values())
        self.cells = tuple(checks.cells)
        self.functions = tuple(checks.functions)

    def is_current(self) -> bool:
        try:
            for function, code, defaults, keywords in self.functions:
                function = function()
                if (
                    function.__code__ is not code
                    or function.__defaults__ is not defaults
                    or function.__kwdefaults__ is not keywords
                ):
                    return False
            for names, name, value in self.lookups:
                if names.get(name, _MISSING) is not value:
                    return False
            for cell, value in self.cells:
                if cell.cell_contents is not value:
                    return False
            for names, size in self.sizes:
                if len(names) != size:
                    return False
        except (AttributeError, ValueError):  # a function is gone, a cell was emptied
            return False
        return True


_records: LastUsed[_Record] = LastUsed(1024)  # by the address of the owner
_numbers: LastUsed[int] = LastUsed(4096)  # of identities, which are long
_counter = itertools.count(1)


def _recorded(owner: Any, checks: _Checks | None, path: tuple[int, ...]) -> int:
    """The number of the identity of a function or a class, remembered as long as nothing that was read has changed."""
    record = _records.get(id(owner))
    if record is None or record.owner() is not owner or not record.is_current():
        if id(owner) in path:
            raise _Mutable("recursion")
        found, path = _Checks(), (*path, id(owner))
        key = _of_class(owner, found, path) if isinstance(owner, type) else _of_function(owner, found, path)
        number = _numbers.get(key)
        if number is None:
            number = _numbers[key] = next(_counter)
        record = _records[id(owner)] = _Record(owner, number, found)
    if checks is not None:
        checks.include(record)
    return record.number


def _key(value: Any, checks: _Checks | None, path: tuple[int, ...]) -> Hashable:
    """The identity of a value. `checks` are those of the function that holds it, if it is held by one."""
    kind = type(value)
    if kind in _PLAIN:
        return (kind, value)
    if kind is float:
        return value.hex()  # tells 0.0 from -0.0, and finds NaN again
    if kind is types.FunctionType:
        if str(value.__globals__.get("__name__")).partition(".")[0] == "torch" and not value.__closure__:
            return _stateless(value)
        return _recorded(value, checks, path)
    if kind is functools.partial:
        return _of_partial(value, checks, path)
    if issubclass(kind, tuple):
        of_kind = kind if kind is tuple else _of_type(kind, checks, path)
        return (of_kind, *(_key(part, checks, path) for part in value))
    if issubclass(kind, type):
        return _of_type(value, checks, path)
    if kind in (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType):
        return _of_builtin(value)
    if kind is types.MethodType:
        return _of_method(value, checks, path)
    if isinstance(value, enum.Enum):
        return _of_enum(value, checks, path)
    if isinstance(value, np.number | np.bool_) and kind.__module__ == "numpy":
        return (kind, value.tobytes())
    if kind is complex:
        return (kind, value.real.hex(), value.imag.hex())
    if kind is np.ufunc or kind.__module__ == "torch._ops":
        return value
    raise _Mutable(kind.__name__)


def _of_function(function: types.FunctionType, checks: _Checks, path: tuple[int, ...]) -> Hashable:
    code, defaults, keywords = function.__code__, function.__defaults__, function.__kwdefaults__
    reads = reads_of(code)
    if not reads.known or reads.write:
        raise _Mutable(function.__name__)
    checks.functions.append((weakref.ref(function), code, defaults, keywords))
    names = (keywords, function.__dict__)
    of_names = [_of_names(mapping, checks, path) for mapping in names if mapping is not None]
    found = [_of_chain(function, chain, checks, path) for chain in sorted(reads.globals)]
    free: list[Hashable] = []
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            content = cell.cell_contents
        except ValueError:
            raise _Mutable(name) from None
        checks.cells.append((cell, content))
        chains = sorted(chain for chain in reads.free if chain[0] == name)
        if isinstance(content, types.ModuleType):
            free += [_of_attributes(content, chain[1:], checks, path) for chain in chains]
        else:
            free.append(_key(content, checks, path))
    return (code, _key(defaults, checks, path), *of_names, *found, *free)


def _of_names(names: Mapping[str, Any], checks: _Checks, path: tuple[int, ...]) -> Hashable:
    checks.all_of(names)
    return tuple((name, _key(checks.lookup(names, name), checks, path)) for name in sorted(names))


def _of_chain(function: types.FunctionType, chain: Chain, checks: _Checks, path: tuple[int, ...]) -> Hashable:
    """Of a global, and the attributes read from it as far as it is a module."""
    value = checks.lookup(function.__globals__, chain[0])
    if value is _MISSING:
        value = checks.lookup(cast(Any, function).__builtins__, chain[0])
    return _of_attributes(value, chain[1:], checks, path)


def _of_attributes(value: Any, attributes: Chain, checks: _Checks, path: tuple[int, ...]) -> Hashable:
    for name in attributes:
        if not isinstance(value, types.ModuleType):
            break
        value = checks.lookup(vars(value), name)
    return _key(value, checks, path)


def _of_partial(value: Any, checks: _Checks | None, path: tuple[int, ...]) -> Hashable:
    if vars(value):
        raise _Mutable("attributes of a partial")
    keywords = value.keywords
    if checks is not None:
        checks.all_of(keywords)
        for name in keywords:
            checks.lookup(keywords, name)
    given = tuple((name, _key(each, checks, path)) for name, each in keywords.items())
    return (functools.partial, _key(value.func, checks, path), _key(value.args, checks, path), given)


def _of_method(method: Any, checks: _Checks | None, path: tuple[int, ...]) -> Hashable:
    function, owner = method.__func__, method.__self__
    if not isinstance(function, types.FunctionType):
        raise _Mutable("method")
    if not isinstance(owner, type) and reads_of(function.__code__).first:
        owner = _key(owner, checks, path)
    elif isinstance(owner, type):
        owner = _of_type(owner, checks, path)
    else:  # it never looks at the object that it belongs to
        owner = None
    return (types.MethodType, _key(function, checks, path), owner)


def _of_builtin(value: Any) -> Hashable:
    owner, module = getattr(value, "__self__", None), getattr(value, "__module__", None) or ""
    if isinstance(value, types.BuiltinFunctionType):
        package = module.partition(".")[0]
        if package == "torch":
            return _stateless(value)
        if value in _BUILTINS or (package in _FUNCTIONS and (owner is None or isinstance(owner, types.ModuleType))):
            return value
        if isinstance(owner, type) and value.__name__ == "__new__":  # tuple.__new__
            return value
    elif value.__objclass__.__module__.partition(".")[0] in _CLASSES:
        return value
    raise _Mutable("built-in function")


@functools.cache
def _settings() -> set[Any]:
    """The functions of torch that take no tensor, and so may read a setting (`torch.is_grad_enabled`)."""
    return torch.overrides.get_ignored_functions() - {getattr(torch, name) for name in _FACTORIES}


def _stateless(function: Any) -> Hashable:
    if function in _settings():
        raise _Mutable("a setting of torch")
    return function


def _of_type(cls: type, checks: _Checks | None, path: tuple[int, ...]) -> Hashable:
    package = cls.__module__.partition(".")[0]
    if cls in _BUILTINS or (package in _CLASSES and package != "builtins"):
        return cls
    return _recorded(cls, checks, path)


def _of_class(cls: type, checks: _Checks, path: tuple[int, ...]) -> Hashable:
    """Of a class that a user has written: named tuples, enums, autograd functions and the like."""
    if type(cls).__module__.partition(".")[0] not in ("builtins", *_CLASSES):
        raise _Mutable("a metaclass")
    names = vars(cls)
    checks.all_of(names)
    members: Mapping[str, Any] = cls.__members__ if isinstance(cls, enum.EnumMeta) else {}
    found: list[Hashable] = [cls, *(_of_member(member, checks, path) for member in members.values())]
    for name in names:
        value = checks.lookup(names, name)
        if name in _OF_CLASSES or name in members or (members and name in _OF_ENUMS):
            continue
        value = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if getattr(getattr(value, "__code__", None), "co_filename", None) == collections.__file__:
            continue  # a method that every named tuple has
        if type(value) is property:
            found += [_key(each, checks, path) for each in (value.fget, value.fset, value.fdel)]
        elif type(value).__name__ != "_tuplegetter":
            found.append(_key(value, checks, path))
    bases = tuple(_of_type(base, checks, path) for base in cls.__bases__ if base is not object)
    return (tuple(found), bases)


# names in classes that Python, `typing.NamedTuple` and `torch.autograd.Function` set for their own use
_OF_CLASSES = {
    "__doc__",
    "__module__",
    "__annotations__",
    "__orig_bases__",
    "__dict__",
    "__weakref__",
    "__parameters__",
}
_OF_CLASSES |= {"_field_defaults", "_backward_cls", "__annotate__", "__annotate_func__", "__annotations_cache__"}
_OF_CLASSES |= {"__firstlineno__", "__static_attributes__"}
_OF_ENUMS = {name for name in vars(enum.Enum("_", "a")) if name.startswith("_")}


def _of_enum(member: enum.Enum, checks: _Checks | None, path: tuple[int, ...]) -> Hashable:
    return (_of_type(type(member), checks, path), _of_member(member, checks, path))


def _of_member(member: enum.Enum, checks: _Checks | None, path: tuple[int, ...]) -> Hashable:
    names = vars(member)
    if checks is not None:
        checks.all_of(names)
        for name in names:
            checks.lookup(names, name)
    others = tuple((name, _key(names[name], checks, path)) for name in names if name not in _ENUM)
    return (member.name, _key(member._value_, checks, path), others)


def global_write(step: Any) -> str | None:
    """The line where a step assigns a variable outside of it, if it does; `step` may be a partial or a method."""
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
