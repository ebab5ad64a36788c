"""The worker threads that run kernels beside the calling thread. Kernels release the interpreter's lock."""

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_lock = threading.Lock()
_workers: ThreadPoolExecutor | None = None


def run_parts(function: Callable[[int, int], None], bounds: list[int]) -> None:
    """Call function(bounds[i], bounds[i + 1]) for all parts at once; the last one on the calling thread."""
    parts = list(itertools.pairwise(bounds))
    waiting = [_executor().submit(function, low, high) for low, high in parts[:-1]]
    function(*parts[-1])
    for future in waiting:
        future.result()


def split(count: int, grain: int) -> list[int]:
    """Bounds that cut `count` elements into one part for each torch thread, at multiples of `grain`."""
    grains = -(-count // grain)
    parts = max(1, min(torch.get_num_threads(), grains))
    return [min(grains * i // parts * grain, count) for i in range(parts + 1)]


def _executor() -> ThreadPoolExecutor:
    global _workers
    with _lock:
        if _workers is None:
            _workers = ThreadPoolExecutor(os.cpu_count() or 1, "bionets-scan")
        return _workers


def _forget() -> None:
    global _workers, _lock
    _lock = threading.Lock()
    _workers = None


os.register_at_fork(after_in_child=_forget)  # a forked child has no threads but its own
