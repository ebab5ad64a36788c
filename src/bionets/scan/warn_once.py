"""Warnings that are issued once per process."""

import functools
import warnings


@functools.cache
def warn_once(message: str, stacklevel: int) -> None:
    """Call `warnings.warn` if this is the first call with this message."""
    warnings.warn(message, stacklevel=stacklevel)
