"""Logs, once in a process, that compiling takes long."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bionets.scan.locks import ForkSafeLock

SECONDS = 1.0  # compiling that takes longer is logged

logger = logging.getLogger("bionets.scan")
_lock = ForkSafeLock()
_total, _logged = 0.0, False


@contextmanager
def compiling() -> Iterator[None]:
    """Add up the time spent within, and log it at the level INFO when the sum exceeds a second, once in a process."""
    global _total, _logged
    started = time.monotonic()
    try:
        yield
    finally:
        with _lock:
            _total += time.monotonic() - started
            if _total > SECONDS and not _logged:
                _logged = True
                logger.info("compiling kernels, %.1f s so far; later runs load them from the disk", _total)
