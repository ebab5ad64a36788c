"""Large CPU tensors whose memory is reused after they are freed, because new pages cost more than the arithmetic."""

import math
import weakref
from collections import OrderedDict

import numpy as np
import torch
from torch import Tensor

from bionets.scan.locks import ForkSafeLock

SMALLEST = 1 << 20  # bytes; smaller blocks are not returned to the kernel by the system's allocator
KEPT = 1 << 30  # maximum number of bytes kept for reuse
ALIGNMENT = 64  # bytes of a cache line; no vector should cross two lines

_lock = ForkSafeLock()
_free: OrderedDict[int, list[np.ndarray]] = OrderedDict()  # by size, the most recently used at the end
_kept = 0

NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An uninitialised CPU tensor."""
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST:
        return torch.empty(shape, dtype=dtype, device="cpu")
    size_class = -(-size // SMALLEST) * SMALLEST
    array = _take(size_class)[:size].view(NUMPY[dtype]).reshape(shape)
    return torch.from_numpy(array)


def _take(size: int) -> np.ndarray:
    global _kept
    with _lock:
        if size in _free:
            _free.move_to_end(size)
        memory = _free[size].pop() if _free.get(size) else None
        if memory is not None:
            _kept -= size
    if memory is None:
        memory = np.empty(size + ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % ALIGNMENT
        memory = memory[start : start + size]
    handle = memory.view(_Handle)
    weakref.finalize(handle, _give_back, memory).atexit = False
    return handle


def _give_back(memory: np.ndarray) -> None:
    global _kept
    with _lock:
        _free.setdefault(memory.nbytes, []).append(memory)
        _kept += memory.nbytes
        while _kept > KEPT:  # drop the least recently used buffers
            oldest, arrays = next(iter(_free.items()))
            if arrays:
                _kept -= arrays.pop().nbytes
            if not arrays:
                del _free[oldest]


class _Handle(np.ndarray):
    """The owner of the memory of a buffer: when it is deleted, the memory is free again."""
