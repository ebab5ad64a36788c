"""The worker of `benchmarks.gpu` with cases that fail in every way in which one can: a process of `test_gpu.py`."""

import os
import sys
import time
from collections.abc import Iterator

from benchmarks.gpu import worker
from benchmarks.gpu.case import Case, Row


def cases(tiny: bool) -> Iterator[Case]:
    yield Case("first", lambda: {"ok": True})
    yield Case("raises", _raise)
    yield Case("dies", lambda: os._exit(5))
    yield Case("hangs", _hang)
    yield Case("last", lambda: {"ok": True})


def _raise() -> Row:
    raise ValueError("two shapes\ndo not fit")


def _hang() -> Row:
    time.sleep(600)
    return {}


if __name__ == "__main__":
    worker.CASES["correctness"] = cases
    sys.exit(worker.main())
