"""The time that compiling takes in this process, said once where it is long."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 1.0  # compiling that takes longer is worth a word

logger = logging.getLogger("bionets.scan")
_lock = threading.Lock()
_total, _said = 0.0, False


@contextmanager
def compiling() -> Iterator[None]:
    """Adds up the time spent within, and logs it at the level INFO when it exceeds a second, once for the process."""
    global _total, _said
    started = time.monotonic()
    try:
        yield
    finally:
        with _lock:
            _total += time.monotonic() - started
            if _total > SECONDS and not _said:
                _said = True
                logger.info("compiling kernels, %.1f s so far; later runs load them from the disk", _total)
