"""Interrupts: SIGTERM ends a command like Ctrl-C, with a record in the run folder, so that the run can be resumed."""

import _thread
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

SECONDS_UNTIL_AGAIN = 0.05
INTERRUPTED = 130  # the shell's exit code for Ctrl-C
TERMINATED = 143  # and for SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM was received; handled like Ctrl-C."""


@contextmanager
def exit_when_interrupted() -> Iterator[None]:
    """End the process on Ctrl-C and SIGTERM with their exit codes and without a traceback."""
    try:
        with sigterm_interrupts():
            yield
    except KeyboardInterrupt as interrupt:
        sys.exit(TERMINATED if isinstance(interrupt, Terminated) else INTERRUPTED)


def raise_interrupt_behind(error: BaseException) -> None:
    """Raise the interrupt during whose handling an error was raised, if there is one. Otherwise an error in the
    clean-up of a library would hide the interrupt.
    """
    behind = error.__cause__ or error.__context__
    while behind is not None:
        if isinstance(behind, KeyboardInterrupt):
            raise behind from None
        behind = behind.__cause__ or behind.__context__


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Raise `Terminated` in the main thread on SIGTERM, and ignore further SIGTERMs while it is handled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, hook = signal.signal(signal.SIGTERM, raise_terminated), sys.unraisablehook

    def send_again(unraisable: "sys.UnraisableHookArgs") -> None:
        """Send an interrupt again that was raised in a ``__del__``, where Python discards exceptions."""
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)
            return
        number = signal.SIGINT
        if isinstance(unraisable.exc_value, Terminated):
            number = signal.SIGTERM
            signal.signal(number, raise_terminated)
        # On Windows, os.kill would end the process; elsewhere it also interrupts a call that waits.
        send = partial(os.kill, os.getpid()) if os.name == "posix" else _thread.interrupt_main
        timer = threading.Timer(SECONDS_UNTIL_AGAIN, send, (number,))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def raise_terminated(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


@contextmanager
def keyboard_interrupts() -> Iterator[None]:
    """Raise an interrupt again that Lightning has replaced by SystemExit, and `Terminated` for its SIGTERMException,
    with which a worker of a launcher would end the whole sweep with exit code 0."""
    try:
        yield
    except SystemExit as stopped:
        from lightning.pytorch.utilities.exceptions import SIGTERMException

        if isinstance(stopped, SIGTERMException):
            raise Terminated from stopped
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise type(stopped.__context__) from stopped
        raise
