"""Writes ``source_files.md``, the list of all source files with the first paragraph of their docstrings."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "bionets"
PAGE = Path(__file__).parent / "source_files.md"
HEAD = """# Source files

Every file of `src/bionets/`, with the first paragraph of its docstring. `make index` writes this page.
`CONTRIBUTING.md` lists the files to change for a new cell, task, model, figure or logger.
"""


def page() -> str:
    folders = sorted({file.parent for file in SOURCE.rglob("*.py")})
    return "\n".join([HEAD, *(line for folder in folders for line in section(folder))])


def section(folder: Path) -> Iterator[str]:
    """The files of one folder, as a table."""
    yield f"## `{folder.relative_to(SOURCE.parents[1]).as_posix()}/`\n"
    yield "| file | content |\n|---|---|"
    for file in sorted(folder.glob("*.py")):
        yield f"| `{file.name}` | {content(file)} |"
    yield ""


def content(file: Path) -> str:
    """The first paragraph of the docstring of a module, as a cell of a table."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
