"""Objects by their dotted import path, and deprecated earlier names of public objects."""

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def import_object(path: str) -> Any:
    """The object that ``package.module.name`` names, or ``package.module.Class.name``.

    Raises:
        ValueError: it cannot be imported; the message is the reason, on one line.
    """
    if "." not in path:
        raise ValueError("there is no module before a dot")
    try:
        return _find(path)
    except Exception as error:  # whatever a module raises while it is imported
        raise ValueError(" ".join(str(error).split())[:80]) from error


def _find(path: str) -> Any:
    parent, _, name = path.rpartition(".")
    try:
        return getattr(import_module(parent), name)
    except ModuleNotFoundError as error:
        if error.name != parent or "." not in parent:
            raise
    return getattr(_find(parent), name)  # of a class


def deprecated_names(module: str, paths: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module some of whose names have changed: it warns, and gives the object.

    Args:
        module: its ``__name__``.
        paths: the import path of each object by its earlier name.
    """

    def find(name: str) -> Any:
        if name not in paths:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now called {paths[name]}", DeprecationWarning, stacklevel=2)
        return import_object(paths[name])

    return find
