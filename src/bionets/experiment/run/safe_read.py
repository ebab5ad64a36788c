"""Reading of small YAML and JSON files from any source as plain data, with limits of size and depth."""

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from bionets.experiment.errors import UserError

MOST_BYTES = {".yaml": 256 * 1024, ".json": 16 * 1024**2}  # files of runs have a few kilobytes
DEEPEST = 32  # levels of nested lists and mappings
RESTORE = "restore it, or delete the folder and train again"


def read_plain(path: Path, advice: str = RESTORE) -> Any:
    """The content of a YAML or JSON file as lists, mappings, strings, numbers and booleans.

    YAML aliases are errors, since a few of them can stand for more than fits into memory. Repeated keys are errors too,
    since all but one would be ignored.

    Raises:
        UserError: the file is missing, too large, or cannot be read; the message names it.
    """
    content = read_bytes(path, MOST_BYTES[path.suffix], advice)
    try:
        text = content.decode()
        return yaml.load(text, _PlainLoader) if path.suffix == ".yaml" else json.loads(text, object_pairs_hook=_mapping)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({_reason(error)}): {advice}") from error


def read_bytes(path: Path, most: int, advice: str = RESTORE) -> bytes:
    """The content of a regular file of at most ``most`` bytes. Raises UserError."""
    if not path.exists():
        raise UserError(f"{path} is missing: the folder is not a whole run")
    if not path.is_file():  # reading a pipe or a device would not end
        raise UserError(f"{path} is not a regular file: {advice}")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UserError(f"{path} has more than {most} bytes, which no run writes: {advice}")
    return content


class PlainDumper(yaml.SafeDumper):
    """A dumper of YAML without aliases, which `read_plain` does not accept."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _PlainLoader(yaml.SafeLoader):
    """A loader of YAML without aliases, repeated keys, or more than `DEEPEST` levels."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias, which no run writes")
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.YAMLError(f"it is more than {DEEPEST} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        pairs = [(self.construct_object(key, deep=True), value) for key, value in node.value]
        if any(not isinstance(key, Hashable) for key, _ in pairs):
            raise yaml.YAMLError("it has a list for a key")
        _refuse_repeated([key for key, _ in pairs])
        return super().construct_mapping(node, deep)


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_repeated([key for key, _ in pairs])
    return dict(pairs)


def _refuse_repeated(keys: list[Any]) -> None:
    if len(set(keys)) < len(keys):
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {str(repeated)[:40]!r} is there twice")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is too deep"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        return f"{error.problem}{line}"[:120]
    return " ".join(str(error).split())[:120]
