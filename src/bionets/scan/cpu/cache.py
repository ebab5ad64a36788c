"""Compiled kernels on disk, so that a second process starts without compiling.

A kernel is machine code, and loading it means running it. A file is therefore loaded only if it belongs to the user and
nobody else can write to the file, its folder or a parent folder (a parent folder like /tmp, in which only owners may
rename files, is allowed). The digest in a file detects damage; it does not protect against somebody who can write to
the folder.

A folder that cannot be used costs time, but is not an error.
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
SIZE = 256 << 20  # maximum number of bytes of all kernels, unless BIONETS_CACHE_SIZE is set
SUFFIX, UNFINISHED = ".kernel", ".unfinished-"  # suffix and prefix of the names of files in the folder
FLAGS = ("O_BINARY", "O_NOFOLLOW", "O_NONBLOCK")  # do not follow links, and do not wait for the writer of a pipe


def folder() -> Path | None:
    """$BIONETS_CACHE, or bionets in the user's cache folder."""
    chosen = os.environ.get("BIONETS_CACHE")
    try:
        if chosen:
            return Path(chosen).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bionets"
    except RuntimeError:  # a user without a home
        return None


def read(key: str) -> bytes | None:
    """The kernel stored under the key, if it exists, is complete, and was written by the user; else None."""
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
        os.utime(place / (key + SUFFIX))  # the least recently used kernels are deleted first
    return content


def write(key: str, content: bytes) -> None:
    """Store a kernel atomically. If necessary, the least recently used kernels are deleted."""
    place = _usable(folder(), create=True)
    limit = _size_limit()
    if place is None or len(content) + HEADER.size > limit:
        return
    with contextlib.suppress(OSError):
        handle, name = tempfile.mkstemp(prefix=UNFINISHED, dir=place)  # readable and writable by the user only
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
    """The folder, if only the user can write files there; else None, with a warning that is issued once."""
    if place is None:
        return None
    try:
        if create:
            for missing in reversed([each for each in (place, *place.parents) if not each.exists()]):
                missing.mkdir(mode=0o700, exist_ok=True)
        place = place.resolve(strict=True)
        foreign = _others_may_write(place)
    except (OSError, RuntimeError):  # it does not exist or cannot be read
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
    """The folder, among this one and its parents, in which somebody else could replace the next folder or its files."""
    if not hasattr(os, "getuid"):
        return None  # on Windows, a user's folders are private by default
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
