"""Trees, their leaves and their structure. A tree is a tensor, or a tuple, named tuple, list or dict of trees."""

import functools
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from torch import Tensor

Tree = Any
Structure = Hashable  # LEAF for a tensor; else the kind of the node, the keys of a dict, the structures of the parts
LEAF = "tensor"


def flatten(tree: Tree, name: str) -> tuple[list[Tensor], Structure]:
    """The tensors of a tree, and its structure. Raises TypeError, with `name`, if the value is not a tree."""
    leaves: list[Tensor] = []
    return leaves, _collect(tree, name, leaves)


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Tree:
    """The tree of this structure with these leaves."""
    return _build(structure, iter(leaves))


def count_leaves(structure: Structure) -> int:
    return sum(map(count_leaves, structure[2:])) if isinstance(structure, tuple) else 1


@functools.lru_cache(maxsize=1024)
def named_tuples(structures: tuple[Structure, ...]) -> tuple[type, ...]:
    """The classes of named tuples in these structures, which may have methods."""
    found: list[type] = []
    for structure in structures:
        if isinstance(structure, tuple):
            kind, _, *parts = structure
            found += [*([kind] if hasattr(kind, "_fields") else []), *named_tuples(tuple(parts))]
    return tuple(dict.fromkeys(found))


def _collect(tree: Tree, name: str, leaves: list[Tensor]) -> Structure:
    if isinstance(tree, Tensor):
        leaves.append(tree)
        return LEAF
    kind = type(tree)
    if kind is tuple or kind is list or (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        # torch.compile cannot read a built-in type from an object, but it can read a string
        known = kind.__name__ if kind in (tuple, list) else kind
        return (known, None, *[_collect(part, name, leaves) for part in tree])
    if kind is dict:
        if not all(isinstance(key, str) for key in tree):
            raise TypeError(f"the keys of a dict in {name} must be strings, got {', '.join(map(repr, tree))}")
        keys = tuple(sorted(tree))  # equal dicts have the same structure, independently of their order
        return (kind, keys, *[_collect(tree[key], f"{name}[{key!r}]", leaves) for key in keys])
    raise TypeError(f"{name} must be a tensor, or a (named) tuple, list or dict of tensors, found {kind.__name__}")


def _build(structure: Structure, leaves: Iterator[Any]) -> Tree:
    if not isinstance(structure, tuple):
        return next(leaves)
    kind, keys, *parts = structure
    built = [_build(part, leaves) for part in parts]
    if keys is not None:
        return dict(zip(keys, built, strict=True))
    if kind == "tuple":
        return tuple(built)
    return built if kind == "list" else kind(*built)
