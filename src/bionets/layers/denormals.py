"""The mode of the processor for denormal numbers, on this thread."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def flushes_denormals() -> bool:
    """Whether this thread flushes denormal numbers to 0; PyTorch has no function for this."""
    return sys.float_info.min / 2 == 0


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Flush denormal numbers, which are slow, to zero on this thread; restore the mode at the end of the context."""
    before = flushes_denormals()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
