"""Archives from the network: unpacked within limits, aside, and whole or not at all."""

import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

MOST_MEMBERS = 200_000
MOST_BYTES = 32 * 1024**3
MOST_RATIO = 50  # unpacked to packed; recordings come to about 3
BLOCK = 1024 * 1024


def unpack(archive: Path, folder: Path, inner: str | None = None) -> None:
    """Unpack what a zip file has under the name of ``folder`` to that place, where nothing is yet.

    Everything is written to a temporary folder beside, and gets its place by one rename when it is whole. ``inner`` is
    the name of a zip file within the archive that has the folder.

    Raises:
        ValueError: a damaged archive; one with links or with names that lead elsewhere; one that has more members, more
            bytes, or more bytes for its size than any of ours; or one without the folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*.unpacking"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".unpacking", dir=folder.parent))
    try:
        _extract(archive, aside)
        if inner is not None:
            found = next(aside.rglob(inner), None)
            if found is None:
                raise ValueError(f"{archive} holds no {inner}")
            _extract(found, aside)
        unpacked = next((path for path in aside.rglob(folder.name) if path.is_dir()), None)
        if unpacked is None:
            raise ValueError(f"{archive} holds no folder {folder.name}")
        unpacked.rename(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{archive} is damaged ({' '.join(str(error).split())[:80]}): delete it") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _extract(archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        _refuse_too_much(archive, members)
        for member in members:
            _refuse_elsewhere(archive, member)
        for member in members:
            target = into / member.filename
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            # A member gives no more bytes than its header says, and those were counted.
            with opened.open(member) as source, target.open("xb") as file:
                shutil.copyfileobj(source, file, BLOCK)


def _refuse_too_much(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MOST_MEMBERS:
        raise ValueError(f"{archive} has {len(members)} members, which none of ours has: delete it")
    unpacked, packed = sum(member.file_size for member in members), archive.stat().st_size
    if unpacked > min(MOST_BYTES, MOST_RATIO * packed):
        raise ValueError(f"{archive} would unpack from {packed} to {unpacked} bytes, as none of ours does: delete it")


def _refuse_elsewhere(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    linked = stat.S_ISLNK(member.external_attr >> 16)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename or linked:
        raise ValueError(f"{archive} has a member that leads elsewhere ({member.filename[:60]!r}): delete it")
