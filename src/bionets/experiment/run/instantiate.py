"""Instantiation of the ``_target_`` of a config node."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

from bionets.annotations import parameters_of, require_types
from bionets.experiment.console import printable_line
from bionets.experiment.errors import UserError, did_you_mean, user_errors
from bionets.experiment.nested import nested_values
from bionets.import_path import import_object

OWN_KEYS = ("_target_", "_partial_")
UNKNOWN = re.compile(r"got an unexpected keyword argument '(\w+)'")


def instantiate_node(node: Mapping[str, Any], **arguments: Any) -> Any:
    """Call the ``_target_`` of a config node with the values of the node and with ``arguments``; with ``_partial_``,
    return a `functools.partial` of the target and the values. Values are passed unchanged: a ``_target_`` within them
    is an error, and is never built.

    Raises:
        UserError: the target cannot be imported, or does not accept the values or their types.
    """
    target = node["_target_"]
    for key in nested_targets(node):
        raise UserError(
            f"{printable_line(key, 100)} is refused: "
            f"a value of {target} is data, and names no class or function to call"
        )
    values = {key: value for key, value in node.items() if key not in (*OWN_KEYS, "name")}
    with user_errors(f"{target} cannot be imported: "):
        function = partial(import_object(target), **values)
    if not target.startswith("bionets."):  # these have schemas
        with user_errors():
            require_types(f"{target}: ", function.func, values)
    if node.get("_partial_"):
        return function
    try:
        return function(**arguments)
    except (ValueError, TypeError) as error:
        unknown = UNKNOWN.search(str(error))
        if isinstance(error, TypeError) and unknown and unknown[1] in values:
            known = [name for name in parameters_of(function.func) if name not in arguments]
            near = did_you_mean(unknown[1], known)
            raise UserError(f"{target} has no key {unknown[1]}{near}; it has {', '.join(known) or 'no keys'}") from None
        raise UserError(str(error)) from error


@contextmanager
def naming_options(path: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Add the full key of the option at fault, such as ``optimizer.lr=-1.0``, to a UserError without it, if the message
    has the name and the value of a single option, or ends with a colon and the number of a single option.
    """
    try:
        yield
    except UserError as error:
        message, flat = str(error), list(_flat(path, options))
        named = [(key, value) for key, value in flat if _has(message, key.rpartition(".")[2]) and _has(message, value)]
        ending = [(key, value) for key, value in flat if not isinstance(value, str) and message.endswith(f": {value}")]
        values: dict[str, list[Any]] = {}
        for key, value in named or ending:
            values.setdefault(key, []).append(value)
        if len(values) != 1 or f"{path}." in message:
            raise
        ((key, of_key),) = values.items()
        raise UserError(f"{f'{key}={of_key[0]}' if len(of_key) == 1 else key}: {message}") from error


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Each value within mappings and lists, with the key of the mapping."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flat(f"{path}.{key}", each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _flat(path, each)
    else:
        yield path, value


def _has(message: str, text: Any) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(str(text))}(?!\w|\.\d)", message) is not None


def nested_targets(node: Mapping[str, Any]) -> Iterator[str]:
    """The dotted key of every ``_target_`` within the values of a node, which Hydra would instantiate."""
    for key, value in islice(nested_values(node), 1, None):  # without the node itself
        if isinstance(value, Mapping) and "_target_" in value:
            yield f"{key}._target_"
