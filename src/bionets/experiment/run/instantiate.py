"""Instantiation of the object that the ``_target_`` of a config node names; the only place where it happens."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from hydra.utils import get_object

from bionets.experiment.errors import UserError, one_line
from bionets.experiment.run.names import printable

OWN_KEYS = ("_target_", "_partial_")


def instantiate_node(node: Mapping[str, Any], **arguments: Any) -> Any:
    """Build what a config node's ``_target_`` names, with objects from elsewhere as arguments; with ``_partial_``, a
    function that still takes some. The values of the node are passed as they are: a ``_target_`` within them is
    refused, never built.

    Raises:
        UserError: the name cannot be imported, or its constructor refuses the values.
    """
    target = node["_target_"]
    for key in nested_targets(node):
        raise UserError(
            f"{printable(key, 100)} is refused: a value of {target} is data, and names no class or function to call"
        )
    values = {key: value for key, value in node.items() if key not in (*OWN_KEYS, "name")}
    try:
        function = partial(get_object(target), **values)
    except Exception as error:  # whatever a module raises while it is imported
        raise UserError(f"{target} cannot be imported: {one_line(error)}") from error
    if node.get("_partial_"):
        return function
    try:
        return function(**arguments)
    except (ValueError, TypeError) as error:
        raise UserError(str(error)) from error


def nested_targets(node: Mapping[str, Any]) -> Iterator[str]:
    """The dotted keys of everything within a node's values that Hydra would instantiate."""
    for key, value in node.items():
        yield from _targets(value, str(key))


def _targets(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield f"{path}._target_"
        yield from (each for key in value for each in _targets(value[key], f"{path}.{key}"))
    elif isinstance(value, list | tuple):
        yield from (each for index, item in enumerate(value) for each in _targets(item, f"{path}.{index}"))
