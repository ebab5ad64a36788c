"""Objects by their dotted import path, and deprecated earlier names of public objects."""

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def import_object(path: str) -> Any:
    """The object that ``package.module.name`` names.

    Raises:
        ValueError: it cannot be imported; the message is the reason, on one line.
    """
    module, _, name = path.rpartition(".")
    if not module:
        raise ValueError("there is no module before a dot")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # whatever a module raises while it is imported
        raise ValueError(" ".join(str(error).split())[:80]) from error


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
