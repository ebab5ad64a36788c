"""Compiled kernels on disk, so that a second process starts at once.

A kernel is machine code, and to load one is to run it. So nothing is loaded unless it belongs to the user, and neither
the file nor its folder, nor a folder above, lets anybody else write (a folder like /tmp, where only owners may rename,
is allowed above). The digest in a file finds damage; it is no protection against somebody who may write there.

A folder that cannot be used costs time and is never an error.
"""

import contextlib
import hashlib
import os
import stat
import struct
import tempfile
from pathlib import Path

from bionets.scan.warn_once import warn_once

MAGIC = b"bionets kernel 2\n"
HEADER = struct.Struct(f"<{len(MAGIC)}sQ32s")  # the length of the content, and the digest of key and content
SIZE = 256 << 20  # bytes of all kernels at most, unless BIONETS_CACHE_SIZE says otherwise
SUFFIX, UNFINISHED = ".kernel", ".unfinished-"  # of the names of our files in the folder
FLAGS = ("O_BINARY", "O_NOFOLLOW", "O_NONBLOCK")  # not through a link, not waiting for the writer of a pipe


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
    """The kernel stored under the key, if it is there, whole, and certainly the user's own."""
    place = _usable(folder(), create=False)
    if place is None:
        return None
    try:
        handle = os.open(place / (key + SUFFIX), sum({getattr(os, flag, 0) for flag in FLAGS}, os.O_RDONLY))
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or not _is_own(status):
                return None
            header = file.read(HEADER.size)
            if len(header) != HEADER.size or status.st_size > _size_limit() + HEADER.size:
                return None
            magic, length, digest = HEADER.unpack(header)
            content = file.read()
    except OSError:
        return None
    if magic != MAGIC or length != len(content) or digest != _digest(key, content):
        return None
    with contextlib.suppress(OSError):
        os.utime(place / (key + SUFFIX))  # the oldest goes first
    return content


def write(key: str, content: bytes) -> None:
    """Store a kernel; other processes see all of it or nothing. The kernels used longest ago make room."""
    place = _usable(folder(), create=True)
    limit = _size_limit()
    if place is None or len(content) + HEADER.size > limit:
        return
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(prefix=UNFINISHED, dir=place)  # readable and writable for the user alone
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(HEADER.pack(MAGIC, len(content), _digest(key, content)) + content)
            Path(name).replace(place / (key + SUFFIX))
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        _make_room(place, limit)


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(b"%s%s\n%s" % (MAGIC, key.encode(), content)).digest()


def _size_limit() -> int:
    """BIONETS_CACHE_SIZE, in MiB."""
    try:
        return int(float(os.environ["BIONETS_CACHE_SIZE"]) * (1 << 20))
    except KeyError:
        return SIZE
    except (ValueError, OverflowError):
        warn_once(
            f"BIONETS_CACHE_SIZE must be a number of MiB, got {os.environ['BIONETS_CACHE_SIZE']!r}; 256 are used", 5
        )
        return SIZE


def _make_room(place: Path, limit: int) -> None:
    found = []
    with os.scandir(place) as entries:
        for entry in entries:
            ours = entry.name.endswith(SUFFIX) or entry.name.startswith(UNFINISHED)
            if ours and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found.append((status.st_mtime_ns, status.st_size, entry.path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        with contextlib.suppress(OSError):  # another process may have removed it
            Path(path).unlink()
        total -= size


def _usable(place: Path | None, create: bool) -> Path | None:
    """The folder, if only the user can put files there; else None, with a warning that is given once."""
    if place is None:
        return None
    try:
        if create:
            for missing in reversed([each for each in (place, *place.parents) if not each.exists()]):
                missing.mkdir(mode=0o700, exist_ok=True)
        place = place.resolve(strict=True)
        foreign = _others_may_write(place)
    except (OSError, RuntimeError):  # it is not there or cannot be looked at
        return None
    if foreign is not None:
        warn_once(
            f"compiled kernels are not kept: {foreign} is not yours alone to write; "
            "chmod go-w, or set BIONETS_CACHE to a folder that is",
            5,
        )
        return None
    return place


def _others_may_write(place: Path) -> Path | None:
    """The folder, of this one and those above, in which somebody else could exchange what the next one is called."""
    if not hasattr(os, "getuid"):
        return None  # Windows: a user's folders are his own by default
    if not _is_own(place.stat()):
        return place
    for above in place.parents:
        status = above.stat()
        trusted = status.st_uid in (0, os.getuid())
        writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX
        if not trusted or writable:
            return above
    return None


def _is_own(status: os.stat_result) -> bool:
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
