"""SIGTERM and Ctrl-C reach the command at any point of its execution."""

import os
import signal
import sys
import time
from typing import Any

import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

from bionets.experiment.interrupts import Terminated, keyboard_interrupts, sigterm_interrupts


class Signalled:
    """Receives a signal while it is deleted, where Python swallows the exception."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        for _ in range(100):
            time.sleep(0.001)


def test_sigterm_raises_an_exception_and_its_handler_is_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), sigterm_interrupts():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_swallowed_by_a_finalizer_is_raised_again(number: int, kind: type[BaseException]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hook: Any = sys.unraisablehook
    with pytest.raises(kind), sigterm_interrupts():
        Signalled(number)
        time.sleep(30)
    assert sys.unraisablehook is hook


@pytest.mark.parametrize("kind", [KeyboardInterrupt, Terminated])
def test_an_interrupt_turned_into_an_exit_is_raised_as_an_interrupt(kind: type[KeyboardInterrupt]) -> None:
    with pytest.raises(KeyboardInterrupt) as caught, keyboard_interrupts():
        try:
            raise kind
        except KeyboardInterrupt:
            sys.exit(1)
    assert caught.type is kind


def test_the_exit_of_lightning_at_sigterm_is_raised_as_an_interrupt() -> None:
    with pytest.raises(Terminated), keyboard_interrupts():
        raise SIGTERMException
    with pytest.raises(SystemExit, match="3"), keyboard_interrupts():
        sys.exit(3)
