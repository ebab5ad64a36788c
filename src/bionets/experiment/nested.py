"""The values within nested mappings and lists."""

from collections.abc import Iterator, Mapping
from typing import Any


def nested_values(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """A value and all values within it, each with its dotted key; the key of an entry of a list is its position."""
    yield key, value
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    for name, each in value.items() if isinstance(value, Mapping) else ():
        yield from nested_values(each, f"{key}.{name}" if key else str(name))
