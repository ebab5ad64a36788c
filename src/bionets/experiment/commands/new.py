"""``bionets new``: write a small project that can be trained at once."""

import shlex
import sys
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path

from bionets.experiment.errors import UserError

NAME, SUFFIX = "my_project", ".template"
HELP = """bionets new my_project: write a small project with a cell, a task, a test and configs of its own to the folder
my_project, which must not exist yet or be empty, and print the command that trains it"""


def new(words: Sequence[str]) -> int:
    """Write the project that is named on the command line, print the next step, and return the exit code."""
    if set(words) & {"-h", "--help"}:
        print(HELP)
        return 0
    try:
        if len(words) != 1 or words[0].startswith("-"):
            raise UserError("give the name of the project: bionets new my_project")
        folder = write_project(Path(words[0]))
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {folder}; now: cd {shlex.quote(str(folder))} && bionets train experiment=first")
    return 0


def write_project(folder: Path) -> Path:
    """Write a project into a folder that does not exist or is empty. Its package has the name of the folder, with
    underscores instead of dashes and spaces; a module that can be imported already would hide it. Raises UserError.
    """
    name = folder.resolve().name
    package = name.replace("-", "_").replace(" ", "_")
    if not package.isidentifier() or iskeyword(package):
        raise UserError(f"{name} cannot name a Python package: use letters, digits and underscores, no keyword")
    if package in ("configs", "tests") or ((found := find_spec(package)) and found.origin):  # None: only a folder
        raise UserError(f"{package} is the name of another module or folder of the project: choose another name")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already and is not empty: choose another name")
    _copy(files("bionets.experiment.commands").joinpath("project"), folder, package)
    return folder


def _copy(source: Traversable, target: Path, package: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        name = entry.name.removesuffix(SUFFIX).replace(NAME, package)
        if entry.is_dir():
            _copy(entry, target / name, package)
        elif entry.name.endswith(SUFFIX):
            (target / name).write_text(entry.read_text(encoding="utf-8").replace(NAME, package), encoding="utf-8")
