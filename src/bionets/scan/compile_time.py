"""Logs, once per process, that compiling takes long."""

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
    """Sum the time spent in this context, and log it at the level INFO, once per process, if it exceeds a second."""
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
