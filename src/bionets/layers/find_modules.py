"""Modules of a given type at any depth in modules, containers and objects."""

import sys
from collections import UserDict, UserList, deque
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, TypeVar

from torch import nn

Kind = TypeVar("Kind", bound=nn.Module)

_SEQUENCES = (list, tuple, set, frozenset, deque)
_TORCH_OWN = frozenset(vars(nn.Module()))
_SMALL_OBJECTS = (SimpleNamespace, UserDict, UserList)  # classes of the standard library that hold values of the user
_LIBRARIES = sys.stdlib_module_names | {
    *("torch", "torchmetrics", "lightning", "lightning_fabric", "pytorch_lightning", "numpy", "scipy", "pandas"),
    *("omegaconf", "hydra", "wandb", "matplotlib", "optuna", "rich", "triton", "numba", "llvmlite", "functorch"),
}


def find_modules(root: Any, kind: type[Kind] | tuple[type[Kind], ...]) -> Iterator[tuple[str, Kind]]:
    """Every module of type ``kind`` in ``root`` with its path, each once.

    Submodules registered with torch come first, with the paths of ``named_modules``; then modules in other attributes:
    in lists, tuples, sets, dicts, dataclasses, and objects of any class that is not from a library (for example, a
    Lightning trainer is not searched). Reference cycles are allowed.
    """
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        path, found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, kind):
            yield path, found
        waiting += [(join_path(path, str(name)), value) for name, value in reversed(_inside(found))]


def join_path(path: str, name: str) -> str:
    """``path.name``, or ``name`` or ``path`` alone if the other is empty."""
    return f"{path}.{name}" if path else name


def _inside(root: Any) -> list[tuple[Any, Any]]:
    """The values in a module, container or object that may contain modules, by name."""
    if isinstance(root, nn.Module):
        named = vars(root)
        own = [(name, named[name]) for name in named if name not in _TORCH_OWN and _holds(type(named[name]))]  # type: ignore[arg-type]
        return [(name, module) for name, module in root._modules.items() if module is not None] + own
    return [(name, value) for name, value in _parts(root) if _holds(type(value))]  # type: ignore[arg-type]


def _parts(root: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(root, dict):
        return root.items()
    if isinstance(root, _SEQUENCES):
        return enumerate(root)
    slots = [field.name for field in fields(root)] if is_dataclass(root) else _slots(type(root))  # type: ignore[arg-type]
    own = getattr(root, "__dict__", {})
    return [*own.items(), *((name, getattr(root, name)) for name in slots if name not in own and hasattr(root, name))]


@lru_cache(maxsize=4096)
def _holds(kind: type[Any]) -> bool:
    """Whether an object of this type may contain modules."""
    if issubclass(kind, (nn.Module, dict, *_SEQUENCES, *_SMALL_OBJECTS)):
        return True
    return kind.__module__.partition(".")[0] not in _LIBRARIES and not issubclass(kind, type)


@lru_cache(maxsize=4096)
def _slots(kind: type[Any]) -> tuple[str, ...]:
    named = (vars(each).get("__slots__", ()) for each in kind.__mro__)
    return tuple(name for names in named for name in ((names,) if isinstance(names, str) else names))
