"""The line of the user's own code (a task, layer, metric, callback or figure) that raised an error."""

import sysconfig
import traceback
from pathlib import Path

BIONETS = Path(__file__).parents[1]
INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
PACKAGES = ("site-packages", "dist-packages")


def own_line(error: BaseException) -> str | None:
    """The innermost line of the user's own code that bionets called, as ``my_tasks.py, line 12, in loss``. If the
    traceback of the error has none, that of its cause is searched; None if neither has one.
    """
    called = False  # frames before the first one of bionets are those that started it
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = frame.f_code.co_filename
        if called and is_own(file):
            place = f"{Path(file).name}, line {line}, in {frame.f_code.co_name}"
        called = called or Path(file).is_relative_to(BIONETS)
    return own_line(error.__cause__) if place is None and error.__cause__ else place


def is_own(file: str) -> bool:
    """Whether a source file belongs neither to bionets, nor to an installed package, nor to Python itself."""
    path = Path(file)
    installed = any(map(path.is_relative_to, INSTALLED)) or any(folder in path.parts for folder in PACKAGES)
    return not (file.startswith("<") or path.is_relative_to(BIONETS) or installed)
