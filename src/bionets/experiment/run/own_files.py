"""The user's own code and data of a run: digests that tell whether they have changed since."""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from bionets.experiment.console import print_line
from bionets.experiment.run.manifest import digest
from bionets.experiment.run.run_folder import RunFolder

KEY = "own_files"  # of environment.json


def own_files(config: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 digest of each of the user's modules that a config names or that these use, by its name, and of the
    file or folder ``task.data``, by its path; of a folder that of the names and sizes of its files.

    The modules must have been imported, as they are once task and model are built.
    """
    found: dict[str, str] = {}
    for text in _texts(config):
        _add_module(text.rpartition(".")[0], found)
    data = config["task"].get("data")
    if isinstance(data, str) and Path(data).exists():
        found[data] = digest(Path(data)) if Path(data).is_file() else _digest_of_names(Path(data))
    return found


def changed_since(folder: RunFolder, config: Mapping[str, Any]) -> list[str]:
    """Those of `own_files` that were others when the run in this folder was last started."""
    try:
        known = json.loads(folder.environment_file.read_text()).get(KEY, {})
        return [name for name, now in own_files(config).items() if known.get(name, now) != now]
    except (OSError, ValueError, AttributeError):  # a file that nothing else reads
        return []


def note_changes(console: Console, folder: RunFolder, config: Mapping[str, Any]) -> None:
    """Say which code and data of the user's own have changed since a run began, which its hash does not."""
    for changed in changed_since(folder, config):
        print_line(
            console,
            f"note: {changed} has changed since {folder.path} began: "
            f"train it anew under another name, as in name={config['name']}_2",
        )


def _add_module(name: str, found: dict[str, str]) -> None:
    """A module and all the user's modules whose content it holds."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if name in found or file is None or not _is_own(name, Path(file)):
        return
    found[name] = digest(Path(file))
    for value in vars(module).values():
        other = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(other, str):
            _add_module(other, found)


def _is_own(name: str, file: Path) -> bool:
    """Whether a module is neither of bionets, nor installed, nor of Python itself."""
    installed = (Path(sys.prefix), Path(json.__file__).parents[1])
    return (
        name.partition(".")[0] not in ("bionets", "__main__")
        and file.is_file()
        and not any(file.is_relative_to(place) for place in installed)
        and "site-packages" not in file.parts
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _digest_of_names(folder: Path) -> str:
    files = sorted((str(file.relative_to(folder)), file.stat().st_size) for file in folder.rglob("*") if file.is_file())
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()
