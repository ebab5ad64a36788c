"""Warnings that are given once in a process."""

import functools
import warnings


@functools.cache
def warn_once(message: str, stacklevel: int) -> None:
    """`warnings.warn`, the first time that it is called with this message."""
    warnings.warn(message, stacklevel=stacklevel)
