"""The threads that run kernels beside the calling thread: torch's own, since two pools would fight for the cores.

An OpenMP thread that has just finished waits for more work without giving its core back. So kernels run in the same
team as torch's operations. Kernels release the interpreter's lock.
"""

import ctypes
import functools
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

_MEMBER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_lock = threading.Lock()
_workers: ThreadPoolExecutor | None = None
_forked = False


def run_parts(function: Callable[[int, int], None], bounds: list[int]) -> None:
    """Call function(bounds[i], bounds[i + 1]) for all parts, on as many threads."""
    if len(bounds) == 2:
        function(*bounds)
        return
    parts = list(itertools.pairwise(bounds))
    left, failures = iter(parts), list[BaseException]()

    def member(_: Any = None) -> None:
        try:
            for low, high in left:
                function(low, high)
        except BaseException as failure:
            failures.append(failure)

    team = None if _forked else _openmp()
    if team is not None:
        team(_MEMBER(member), None, len(parts), 0)
    else:
        waiting = [_executor().submit(member) for _ in parts[1:]]
        member()
        for future in waiting:
            future.result()
    if failures:
        raise failures[0]


def split(count: int, grain: int) -> list[int]:
    """Bounds that cut `count` elements into one part for each torch thread, at multiples of `grain`."""
    grains = -(-count // grain)
    parts = max(1, min(torch.get_num_threads(), grains))
    return [min(grains * i // parts * grain, count) for i in range(parts + 1)]


@functools.cache
def _openmp() -> Any:
    """GOMP_parallel(function, data, threads, flags) of the library that torch uses; None if torch uses another."""
    try:
        return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so")).GOMP_parallel
    except (OSError, AttributeError):
        return None


def _executor() -> ThreadPoolExecutor:
    global _workers
    with _lock:
        if _workers is None:
            _workers = ThreadPoolExecutor(os.cpu_count() or 1, "bionets-scan")
        return _workers


def _forget() -> None:
    global _workers, _lock, _forked
    _lock = threading.Lock()
    _workers = None
    _forked = True  # OpenMP does not survive a fork


os.register_at_fork(after_in_child=_forget)  # a forked child has no threads but its own
