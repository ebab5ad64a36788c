"""Modules of one kind wherever they are: in modules, lists, tuples and dicts, in any depth."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from torch import nn

__all__ = ["find_modules", "join_path"]

Kind = TypeVar("Kind", bound=nn.Module)

_HOLDERS = (nn.Module, list, tuple, dict)
_TORCH_OWN = frozenset(vars(nn.Module()))


def find_modules(root: Any, kind: type[Kind]) -> Iterator[tuple[str, Kind]]:
    """Every module of this kind in ``root`` with its path, each once.

    Those that torch knows come first, by the paths of ``named_modules``; then those in a module's other attributes.
    """
    return _find(root, kind, "", set())


def join_path(path: str, name: str) -> str:
    """``path.name``, or what there is of it."""
    return f"{path}.{name}" if path else name


def _find(root: Any, kind: type[Kind], path: str, seen: set[int]) -> Iterator[tuple[str, Kind]]:
    if id(root) in seen:
        return
    seen.add(id(root))
    if isinstance(root, kind):
        yield path, root
    for name, inner in _inside(root):
        if isinstance(inner, _HOLDERS):
            yield from _find(inner, kind, join_path(path, str(name)), seen)


def _inside(root: Any) -> Iterable[tuple[Any, Any]]:
    if not isinstance(root, nn.Module):
        return root.items() if isinstance(root, dict) else enumerate(root)
    attributes = vars(root)  # many, of which hardly one is looked for: differences of sets are fast
    holders = {name for name in attributes.keys() - _TORCH_OWN if isinstance(attributes[name], _HOLDERS)}
    others = [each for each in attributes.items() if each[0] in holders] if holders else []
    return [*root._modules.items(), *others]
