"""Compiled code on disk, so that a second process starts at once. A folder that cannot be used is never an error."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path


def folder() -> Path | None:
    """$BIONETS_CACHE, or bionets in the user's cache folder."""
    chosen = os.environ.get("BIONETS_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bionets"
    except RuntimeError:  # a user without a home
        return None


def read(key: str) -> bytes | None:
    """What was stored under the key, if it is there and whole."""
    place = folder()
    if place is None:
        return None
    try:
        stored = (place / key).read_bytes()
    except OSError:
        return None
    digest, content = stored[:32], stored[32:]
    return content if hashlib.sha256(content).digest() == digest else None


def write(key: str, content: bytes) -> None:
    """Store under the key; other processes see all of it or nothing."""
    place = folder()
    if place is None:
        return
    with contextlib.suppress(OSError):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(content).digest() + content)
            Path(name).replace(place / key)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
