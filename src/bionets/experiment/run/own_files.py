"""Digests of the user's own code and data, which show whether they have changed since a run."""

import ast
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from importlib.util import resolve_name
from itertools import accumulate
from pathlib import Path
from typing import Any

from bionets.experiment.console import print_line
from bionets.experiment.errors import UserError, is_own
from bionets.experiment.nested import nested_values
from bionets.experiment.run.manifest import digest
from bionets.experiment.run.run_folder import RunFolder


def own_files(config: Mapping[str, Any], digests: dict[str, str] | None = None) -> dict[str, str]:
    """The SHA-256 digests of the user's own modules, by name, and of the file or folder ``task.data``, by path. The
    modules are those that the config names and those that they import. The digest of a folder is that of the names and
    sizes of its files.

    The modules must have been imported, as by building the task and the model. ``digests`` stores digests of data by
    path, so that the same data of several runs are read once.
    """
    digests = {} if digests is None else digests
    found: dict[str, str] = {}
    for _, text in nested_values(config):
        if isinstance(text, str):
            _add_modules(text.replace(":", ".").rpartition(".")[0], found)
    data = config["task"].get("data")
    if isinstance(data, str) and Path(data).exists():
        if data not in digests:
            digests[data] = digest(Path(data)) if Path(data).is_file() else _digest_of_names(Path(data))
        found[data] = digests[data]
    return found


def changed_since(folder: RunFolder, now: Mapping[str, str]) -> list[str]:
    """The names in ``now``, from `own_files`, whose digests differ from those when the run was last started."""
    try:
        known = folder.environment().get("own_files", {})
    except UserError:  # damaged: other functions raise the error
        return []
    return [name for name, digest_now in now.items() if known.get(name, digest_now) != digest_now]


def note_changes(folder: RunFolder, name: str, now: Mapping[str, str]) -> None:
    """Print which own code and data have changed since the run began; the hash of its config does not show this."""
    for changed in changed_since(folder, now):
        print_line(
            f"note: {changed} has changed since {folder.path} began: "
            f"train it anew under another name, as in name={name}_2",
        )


def _add_modules(path: str, found: dict[str, str]) -> None:
    """Add the user's modules along a dotted path, and all of the user's modules that they import."""
    for name in accumulate(path.split("."), "{}.{}".format):
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if name in found or name == "__main__" or file is None or not (Path(file).is_file() and is_own(file)):
            continue
        found[name] = digest(Path(file))
        for each in _imports(Path(file), getattr(module, "__package__", None)):
            _add_modules(each, found)


def _imports(file: Path, package: str | None) -> Iterator[str]:
    """The dotted path of each name that a Python file imports. The source is read, because an imported constant does
    not show from which module it is.
    """
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):  # a compiled module, or a file that is being edited
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{each.name}" for each in node.names)


def _digest_of_names(folder: Path) -> str:
    files = [file for file in folder.rglob("*") if file.is_file()]
    sizes = sorted((file.relative_to(folder).as_posix(), file.stat().st_size) for file in files)
    return hashlib.sha256(json.dumps(sizes).encode()).hexdigest()
