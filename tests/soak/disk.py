"""A run on a disk that is full after some bytes gives a one-line error and resumes once there is space."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.soak.kills import LONGEST, finish
from tests.soak.processes import Process
from tests.soak.scenarios import SMALL, Lasting, runs

SIZE = 4 << 20  # bytes of the disk
WORDS = ["train", *SMALL, "model.hidden_size=20"]


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A tmpfs; None where mounting is not allowed."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder]
        try:
            allowed = subprocess.run(mount, capture_output=True).returncode == 0
        except OSError:
            allowed = False
        try:
            yield Path(folder) if allowed else None
        finally:
            if allowed:
                subprocess.run(["umount", "--lazy", folder], check=True)


def walk(steps: int) -> Iterator[tuple[int, str]]:
    """Train with 0 to 100 kB of free space; yields the number of bytes, and a fault or ""."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder)
        finish(words := [word for word in WORDS if word != "model.hidden_size=6"], whole)
        expected = runs(whole)
        largest = 1.2 * sum(file.stat().st_size for file in whole.rglob("*") if file.is_file())
    for step in range(steps):
        free = int(largest * step / max(1, steps - 1))
        with small_disk() as disk:
            yield free, on_tmpfs(words, disk, free, expected) if disk else with_limit(words, free, expected)


def on_tmpfs(words: list[str], disk: Path, free: int, expected: Lasting) -> str:
    filler = disk / "filler"
    with filler.open("wb") as file:
        file.truncate(0)
        file.write(b"\0" * max(0, SIZE - free - (64 << 10)))
    fault = full(words, disk, None)
    filler.unlink()
    return fault or again(words, disk, expected)


def with_limit(words: list[str], free: int, expected: Lasting) -> str:
    """No file may have more bytes than that."""
    with tempfile.TemporaryDirectory() as folder:
        return full(words, Path(folder), free) or again(words, Path(folder), expected)


def full(words: list[str], folder: Path, limit: int | None) -> str:
    process = Process(words, folder, limit)
    out = process.wait(LONGEST)
    lines = [line for line in out.splitlines() if line.startswith("error: ")]
    if process.returncode == 0:
        return ""
    if process.returncode != 1 or len(lines) != 1 or "Traceback" in out:
        return f"exit code {process.returncode}: {out[-1500:]}"
    return ""


def again(words: list[str], folder: Path, expected: Lasting) -> str:
    try:
        finish(words, folder)
    except AssertionError as error:
        return f"does not go on: {error}"
    return "" if runs(folder) == expected else "other bits"
