"""Locks in forked processes."""

import os
import signal
import threading

import pytest

from bionets.scan.locks import ForkSafeLock


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_lock_that_another_thread_held_is_free_in_a_forked_child() -> None:
    lock, held, release = ForkSafeLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends a child that waits
        with lock, lock:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    release.set()
    thread.join()
    assert status == 0
