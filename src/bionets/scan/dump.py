"""Debugging output of the compiler in the folder $BIONETS_DUMP: graph, schedule, IR, assembly."""

import os
from collections.abc import Callable
from pathlib import Path


def is_dumping() -> bool:
    return bool(os.environ.get("BIONETS_DUMP"))


def dump(name: str, text: str | Callable[[], str]) -> None:
    """Write a file to the folder, if $BIONETS_DUMP is set. A callable returns the text, and is called only then."""
    folder = os.environ.get("BIONETS_DUMP")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / name).write_text(text if isinstance(text, str) else text())
