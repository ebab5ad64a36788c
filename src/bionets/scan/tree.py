"""Trees: a tensor, or a (named) tuple of trees. Their leaves, and their structure as something to compare by."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from torch import Tensor

Tree = Any
Structure = Hashable  # LEAF for a tensor; for a tuple its type and the structures of its parts
LEAF = "tensor"


def flatten(tree: Tree, name: str) -> tuple[list[Tensor], Structure]:
    """The tensors of a tree, and its structure. Raises TypeError on anything else, naming it."""
    leaves: list[Tensor] = []
    return leaves, _collect(tree, name, leaves)


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Tree:
    """The tree of this structure with these leaves."""
    return _build(structure, iter(leaves))


def count_leaves(structure: Structure) -> int:
    return sum(map(count_leaves, structure[1:])) if isinstance(structure, tuple) else 1


def _collect(tree: Tree, name: str, leaves: list[Tensor]) -> Structure:
    if isinstance(tree, Tensor):
        leaves.append(tree)
        return LEAF
    if isinstance(tree, tuple | list):
        return (type(tree), *[_collect(part, name, leaves) for part in tree])
    raise TypeError(f"{name} must be a tensor or a (named) tuple of tensors, found {type(tree).__name__}")


def _build(structure: Structure, leaves: Iterator[Any]) -> Tree:
    if not isinstance(structure, tuple):
        return next(leaves)
    kind, *parts = structure
    built = [_build(part, leaves) for part in parts]
    return kind(*built) if hasattr(kind, "_fields") else kind(built)
