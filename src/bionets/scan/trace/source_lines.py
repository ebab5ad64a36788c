"""Source lines of a step, for errors and listings."""

import contextlib
import functools
import inspect
import linecache
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from bionets.scan.graph import UnsupportedStepError

_OWN = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
IN_DERIVATIVE = "in the derivative of the step"  # in place of a line
_TRACER = str(Path(__file__).with_name("stage.py"))


def name_of(step: Any) -> str:
    """The name and the source location of a step, for errors."""
    function = inspect.unwrap(step)
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__qualname__"):
        function = function.forward if isinstance(function, nn.Module) else type(function).__call__
    code = getattr(function, "__code__", None)  # of methods too
    return f"the step {function.__qualname__}" + (
        f" ({Path(code.co_filename).name}, line {code.co_firstlineno})" if code else ""
    )


@contextlib.contextmanager
def errors_name_the_line() -> Iterator[None]:
    """Add to an error the line of the step from which it comes."""
    try:
        yield
    except UnsupportedStepError:
        raise
    except Exception as error:
        lines = [line for frame in traceback.walk_tb(error.__traceback__) if (line := _line(*frame))]
        if lines:
            error.add_note(f"while scan traced the step: {lines[-1]}")
        raise


def source_line(frame: FrameType | None) -> str:
    """The innermost line outside torch and this package, between this frame and the frame that runs the step."""
    while frame is not None and frame.f_code.co_filename != _TRACER:
        line = _line(frame, frame.f_lineno)
        if line:
            return line
        frame = frame.f_back
    return IN_DERIVATIVE


def _line(frame: FrameType, number: int) -> str:
    """The line with this number in the file of a frame, if it is outside torch and this package."""
    path = frame.f_code.co_filename
    if path.startswith(_OWN):
        return ""
    text = linecache.getline(path, number).strip()
    return f"{Path(path).name}, line {number}" + (f": {text}" if text else "")
