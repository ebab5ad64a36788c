"""``manifest.json``: the size and the SHA-256 digest of each file of a complete run, as the run wrote it.

It detects damage, not tampering: whoever changes a file on purpose can change the manifest too.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bionets.experiment.errors import UserError
from bionets.experiment.run.run_files import ManifestFile, validated
from bionets.experiment.run.safe_read import read_plain

NAME = "manifest.json"
ACCEPT = f"restore it, or delete {NAME} to take the files as they are"


def manifest_of(folder: Path, files: Iterable[Path], contents: Mapping[str, bytes]) -> str:
    """The manifest of existing files in a folder, and of others that are not written yet, by name and content."""
    entries = {str(file.relative_to(folder)): _entry_of(file) for file in files if file.is_file()}
    entries |= {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    }
    return json.dumps({"format": 1, "files": entries}, indent=2) + "\n"


class Manifest:
    """The manifest of a folder. Without one, no file has a fault."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / NAME
        self.files: dict[str, dict[str, Any]] = {}
        if self.file.exists():
            self.files = validated(self.file, read_plain(self.file, ACCEPT), ManifestFile, ACCEPT)["files"]

    def require(self, file: Path) -> None:
        """Raise UserError if a file was changed after the run had written it."""
        if fault := self.fault(str(file.relative_to(self.folder))):
            raise UserError(f"{file} {fault}: {ACCEPT}")

    def fault(self, name: str, contents: bool = True) -> str | None:
        """The fault of a file, None without one; ``contents=False`` compares only its size."""
        if name not in self.files:
            return None
        file, known = self.folder / name, self.files[name]
        if not file.is_file():
            return "is missing"
        if file.stat().st_size != known["size"] or (contents and digest(file) != known["sha256"]):
            return "is not as the run wrote it"
        return None

    def faults(self, contents: bool = True) -> dict[str, str]:
        """The files that were changed after the run had written them, and the fault of each."""
        found = {name: self.fault(name, contents) for name in self.files}
        return {name: fault for name, fault in found.items() if fault is not None}


def digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _entry_of(file: Path) -> dict[str, Any]:
    return {"size": file.stat().st_size, "sha256": digest(file)}
