"""A lock that forked processes may use."""

import os
import threading
import weakref
from typing import Any


class ForkSafeLock:
    """A reentrant lock that is free in a forked child: another thread may have held it when the process forked.

    Reentrant, because a finaliser or the callback of a weak reference may run while its own thread holds the lock.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: Any) -> None:
        self._lock.release()

    def renew(self) -> None:
        self._lock = threading.RLock()


_locks: "weakref.WeakSet[ForkSafeLock]" = weakref.WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_all)
