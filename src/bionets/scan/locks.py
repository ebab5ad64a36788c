"""A lock that can be used in forked processes."""

import os
import threading
import weakref
from typing import Any


class ForkSafeLock:
    """A reentrant lock that is released in a forked child, because another thread may have held it during the fork.

    It is reentrant because a finaliser or the callback of a weak reference may run in the thread that holds the lock.
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
