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
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise ValueError(f"BIONETS_DUMP={folder} is a file: name a folder") from None
        text = text if isinstance(text, str) else text()
        # names of files that are no text in this locale are written as the bytes that they are
        (Path(folder) / name).write_text(text, encoding="utf-8", errors="surrogateescape")
