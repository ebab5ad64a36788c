"""Published archives: downloaded and unpacked if they are missing."""

from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from .download import download
from .unpack import unpack

MOST_BYTES = 16 * 1024**3  # maximum size of an archive


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
