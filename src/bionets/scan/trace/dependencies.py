"""The values on which an identity depends, and the check whether they are unchanged."""

import weakref
from collections.abc import Mapping
from typing import Any

from bionets.scan.last_used import LastUsed

MISSING = object()


class Dependencies:
    """The values that were read to identify `owner`, a function or a class. Its identity is valid while they are
    unchanged.

    path: the ids of the functions and classes that are being identified, ending with the owner. number: the number of
    the identity, once it is found.
    """

    def __init__(self, owner: Any, path: tuple[int, ...]) -> None:
        key = id(owner)
        self.owner = weakref.ref(owner, lambda _: records.pop(key))
        self.path = (*path, key)
        self.number = 0
        self.lookups: dict[tuple[int, str], tuple[Mapping[str, Any], str, Any]] = {}
        self.sizes: dict[int, tuple[Any, int]] = {}
        self.cells: list[tuple[Any, Any]] = []
        self.functions: list[tuple[Any, Any, Any, Any]] = []

    def lookup(self, names: Mapping[str, Any], name: str) -> Any:
        value = names.get(name, MISSING)
        self.lookups[id(names), name] = (names, name, value)
        return value

    def all_of(self, names: Mapping[str, Any]) -> None:
        self.sizes[id(names)] = (names, len(names))

    def include(self, other: "Dependencies") -> None:
        self.lookups |= other.lookups
        self.sizes |= other.sizes
        self.cells += other.cells
        self.functions += other.functions

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
            for names, name, value in self.lookups.values():
                if names.get(name, MISSING) is not value:
                    return False
            for cell, value in self.cells:
                if cell.cell_contents is not value:
                    return False
            for names, size in self.sizes.values():
                if len(names) != size:
                    return False
        except (AttributeError, ValueError):  # a function no longer exists, or a cell is empty
            return False
        return True


class NoDependencies(Dependencies):
    """Dependencies of a value that no function holds; they are not recorded."""

    def __init__(self) -> None:
        self.path = ()

    def lookup(self, names: Mapping[str, Any], name: str) -> Any:
        return names.get(name, MISSING)

    def all_of(self, names: Mapping[str, Any]) -> None:
        pass

    def include(self, other: Dependencies) -> None:
        pass


records: LastUsed[Dependencies] = LastUsed(1024)  # by the address of the owner
