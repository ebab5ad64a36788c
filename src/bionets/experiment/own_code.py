"""The line of a user's own code that raised an error: of a task, a layer, a metric, a callback, a figure."""

import sysconfig
import traceback
from pathlib import Path

BIONETS = Path(__file__).parents[1]
INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
PACKAGES = ("site-packages", "dist-packages")


def own_line(error: BaseException) -> str | None:
    """The innermost line that bionets called and that belongs to neither bionets nor an installed package, as
    ``my_tasks.py, line 12, in loss``; where there is none, that of the error's cause.
    """
    called = False  # what stands before the first line of bionets has started it
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if called and is_own(file):
            place = f"{Path(file).name}, line {line}, in {frame.f_code.co_name}"
        called = called or Path(file).is_relative_to(BIONETS)
    return own_line(error.__cause__) if place is None and error.__cause__ else place


def is_own(file: str) -> bool:
    """Whether a file of code is neither bionets' nor that of an installed package."""
    path = Path(file)
    installed = any(map(path.is_relative_to, INSTALLED)) or any(folder in path.parts for folder in PACKAGES)
    return not (file.startswith("<") or path.is_relative_to(BIONETS) or installed)
