"""SIGTERM ends a command as Ctrl-C does: noted, said, and resumable."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM was received: whatever handles Ctrl-C handles it too."""


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """In here, SIGTERM raises `Terminated` in the main thread; a second one is ignored while the first is handled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, raise_terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def raise_terminated(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """Lightning turns an interrupt into an exit; in here it is what it was again."""
    try:
        yield
    except SystemExit as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise type(stopped.__context__) from stopped
        raise
