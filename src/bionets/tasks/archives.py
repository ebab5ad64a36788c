"""Published archives: downloaded if they are missing, and unpacked atomically, with limits of size."""

import errno
import gzip
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock

from .checks import beginning_of
from .download import download

MOST_BYTES = 16 * 1024**3  # maximum size of an archive
MOST_MEMBERS = 200_000
MOST_UNPACKED_BYTES = 32 * 1024**3
MOST_RATIO = 50  # maximum ratio of unpacked to packed size; recordings have about 3
BLOCK = 1024 * 1024
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
UNWRITABLE = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)  # errors for names of members


@dataclass(frozen=True)
class Archive:
    """A zip or tar file that can be downloaded.

    md5: the published checksum; None if there is none.
    inner: the zip file inside the archive that contains the recordings.
    """

    name: str
    url: str
    md5: str | None
    inner: str | None = None


def download_and_unpack(archive: Archive, place: Path, name: str, source: str) -> None:
    """Download and unpack a folder or file of a data set, unless it exists. Only one process downloads, and unpacks
    next to the archive; an archive that already exists is used.

    Args:
        archive: contains the folder or file under the name of ``place``.
        place: the folder, or the file with its suffix.
        name, source: the data set and its web page, for the error message.

    Raises:
        ConnectionError: the archive cannot be downloaded; the message says where to put the folder or file.
        ValueError: see `unpack`.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    file = place.parent / archive.name
    with FileLock(place.parent / ".lock"):
        if place.exists():  # another process has finished it
            return
        try:
            if not file.is_file():
                download([archive.url], file, archive.md5, MOST_BYTES)
        except ConnectionError as error:
            raise ConnectionError(
                f"{name} could not be downloaded ({error}): get it from {source} and unpack it so that "
                f"there is {place}, or name another folder with paths.data_dir or BIONETS_DATA"
            ) from error
        unpack(file, place, archive.inner)


def unpack(archive: Path, place: Path, inner: str | None = None) -> None:
    """Unpack the entry of a zip or tar file with the name of ``place`` to ``place``, a folder or a file with a suffix
    that does not exist yet.

    All files are written to a temporary folder next to ``place``; the complete entry is then moved by one rename.
    ``inner`` is the name of a zip file inside the archive that contains the folder.

    Raises:
        ValueError: the archive is damaged, has links, devices, or names outside its folder or that cannot be written,
            has too many members or bytes or too high a compression ratio, or does not contain the folder or file.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.glob(f".{place.name}.*.unpacking"):  # left by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".unpacking", dir=place.parent))
    try:
        _extract(archive, aside)
        if inner is not None:
            found = next(aside.rglob(inner), None)
            if found is None:
                raise ValueError(f"{archive} holds no {inner}")
            _extract(found, aside)
        is_file = bool(place.suffix)
        unpacked = next((path for path in aside.rglob(place.name) if path.is_file() == is_file), None)
        if unpacked is None:
            raise ValueError(f"{archive} holds no {'file' if is_file else 'folder'} {place.name}")
        unpacked.rename(place)
    except DAMAGED as error:
        raise ValueError(f"{archive} is damaged ({beginning_of(error)}): delete it") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _extract(archive: Path, into: Path) -> None:
    try:
        (_extract_tar if ".tar" in archive.suffixes else _extract_zip)(archive, into)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        name, why = os.path.relpath(error.filename, into), os.strerror(error.errno).lower()
        raise ValueError(f"{archive} has a member that cannot be written ({name[:60]!r}: {why}): delete it") from error


def _extract_zip(archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        _refuse_too_much(archive, len(members), sum(member.file_size for member in members))
        for member in members:
            _refuse_elsewhere(archive, member.filename, stat.S_ISLNK(member.external_attr >> 16))
            if not (member.is_dir() or PurePosixPath(member.filename).parts):  # zipfile: ValueError
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(into))
        opened.extractall(into)  # a member has at most the number of bytes in its header, which was checked above


def _extract_tar(archive: Path, into: Path) -> None:
    """Read the archive once from beginning to end, because a compressed tar has no list of its members."""
    unpacked = 0
    with tarfile.open(archive) as opened:
        for count, member in enumerate(opened, 1):
            unpacked += member.size
            _refuse_too_much(archive, count, unpacked)
            _refuse_elsewhere(archive, member.name, not (member.isfile() or member.isdir()))
            source = opened.extractfile(member)
            target = into / member.name
            (target if source is None else target.parent).mkdir(parents=True, exist_ok=True)
            if source is not None:
                with target.open("xb") as file:
                    shutil.copyfileobj(source, file, BLOCK)
        read_to_end(opened)


def read_to_end(archive: tarfile.TarFile) -> None:
    """Read what follows the last member, so that the checksum at the end of a compressed tar is verified."""
    assert archive.fileobj is not None
    while archive.fileobj.read(BLOCK):
        pass


def _refuse_too_much(archive: Path, members: int, unpacked: int) -> None:
    if members > MOST_MEMBERS:
        raise ValueError(f"{archive} has {members} members, which none of ours has: delete it")
    packed = archive.stat().st_size
    if unpacked > min(MOST_UNPACKED_BYTES, MOST_RATIO * packed):
        raise ValueError(f"{archive} would unpack from {packed} to {unpacked} bytes, as none of ours does: delete it")


def _refuse_elsewhere(archive: Path, name: str, special: bool) -> None:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or special:
        raise ValueError(f"{archive} has a link, a device or a member outside its folder ({name[:60]!r}): delete it")
