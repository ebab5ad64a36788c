"""Objects by their dotted import path."""

from importlib import import_module
from typing import Any


def import_object(path: str) -> Any:
    """The object that ``package.module.name`` names.

    Raises:
        ValueError: it cannot be imported; the message is the reason, on one line.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # whatever a module raises while it is imported
        raise ValueError(" ".join(str(error).split())[:80]) from error
