"""``manifest.json``: the size and the SHA-256 digest of each file of a complete run, as the run wrote it.

It detects damage, not tampering: whoever changes a file on purpose can change the manifest too.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bionets.experiment.run.run_files import ManifestFile, validated
from bionets.experiment.run.safe_read import read_plain

NAME = "manifest.json"
ACCEPT = f"restore it, or delete {NAME} to take the files as they are"


def manifest_of(folder: Path, files: Iterable[Path], contents: Mapping[str, bytes]) -> str:
    """The manifest of existing files in a folder, and of others that are not written yet, by name and content."""
    entries = {file.relative_to(folder).as_posix(): _entry_of(file) for file in files if file.is_file()}
    entries |= {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    }
    return json.dumps({"format": 1, "files": entries}, indent=2) + "\n"


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """The size and the digest of each file in the manifest of a folder, by path within it; empty without a manifest."""
    file = folder / NAME
    return validated(file, read_plain(file, ACCEPT), ManifestFile, ACCEPT)["files"] if file.exists() else {}


def fault_of(file: Path, known: Mapping[str, Any], contents: bool = True) -> str | None:
    """The fault of a file whose entry in a manifest is ``known``; ``contents=False`` compares only its size."""
    if not file.is_file():
        return "is missing"
    if file.stat().st_size != known["size"] or (contents and digest(file) != known["sha256"]):
        return "is not as the run wrote it"
    return None


def digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _entry_of(file: Path) -> dict[str, Any]:
    return {"size": file.stat().st_size, "sha256": digest(file)}
