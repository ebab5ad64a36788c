"""Modules of one kind wherever they are: in modules, lists, tuples and dicts, in any depth."""

from collections.abc import Iterator
from typing import Any, TypeVar

from torch import nn

__all__ = ["find_modules", "join_path"]

Kind = TypeVar("Kind", bound=nn.Module)


def find_modules(
    root: Any, kind: type[Kind], path: str = "", seen: set[int] | None = None
) -> Iterator[tuple[str, Kind]]:
    """Every module of this kind with its path, each once: first those that torch knows, as ``named_modules`` does, then
    those in plain lists, tuples and dicts."""
    seen = set() if seen is None else seen
    if id(root) in seen:
        return
    seen.add(id(root))
    if isinstance(root, kind):
        yield path, root
    for name, inner in _inside(root):
        yield from find_modules(inner, kind, join_path(path, name), seen)


def join_path(path: str, name: str) -> str:
    """``path.name``, or what there is of it."""
    return f"{path}.{name}" if path else name


def _inside(root: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(root, nn.Module):
        yield from root._modules.items()
        for name, value in vars(root).items():
            if name not in _TORCH_OWN and isinstance(value, (nn.Module, list, tuple, dict)):
                yield name, value
    elif isinstance(root, dict):
        yield from ((str(name), value) for name, value in root.items())
    elif isinstance(root, (list, tuple)):
        yield from ((str(number), value) for number, value in enumerate(root))


_TORCH_OWN = frozenset(vars(nn.Module()))
