"""The processor's mode for denormal numbers, on this thread."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def flushes_denormals() -> bool:
    """Whether this thread takes denormal numbers for 0; PyTorch has no function that says so."""
    return sys.float_info.min / 2 == 0


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Within, denormal numbers, which are slow, are zero on this thread; then the mode is what it was."""
    before = flushes_denormals()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
