"""A rollback journal that keeps the last checkpoints of several seeds at the same epoch if the process is stopped."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bionets.experiment.run.run_folder import RunFolder

NAME = ".epoch-before-"  # followed by the name of the first seed's folder


@contextmanager
def all_or_none(folders: Sequence[RunFolder]) -> Iterator[None]:
    """Within this context, every ``last.ckpt`` is replaced by that of the next epoch, or none is.

    Until the end of the context, a journal beside the folders holds the checkpoints of the previous epoch. If the
    process ends before, `roll_back` restores them. Seeds at different epochs would have to be trained one by one, which
    changes the last digits of their results.
    """
    journal = folders[0].path.parent / f"{NAME}{folders[0].path.name}"
    partial = journal.with_name(f"{journal.name}.partial")
    partial.mkdir()  # `roll_back` has deleted that of a stopped process
    for folder in folders:
        kept = partial / folder.path.name
        if folder.last.exists():
            _link(folder.last, kept)
        else:
            kept.touch()  # an empty file: there was no checkpoint yet
    partial.rename(journal)
    yield
    _discard(journal)


def last_whole(folder: RunFolder) -> Path | None:
    """The checkpoint of a seed at the last epoch that all seeds have completed; None if there is none."""
    kept = next(iter(_kept(folder)), folder.last)
    return kept if kept.exists() and kept.stat().st_size else None


def roll_back(folders: Sequence[RunFolder]) -> None:
    """Restore the checkpoints that a stopped process left in a journal. The folders must be locked."""
    for folder in folders:  # incomplete journals, and those no longer needed
        for suffix in (".partial", ".done"):
            shutil.rmtree(folder.path.parent / f"{NAME}{folder.path.name}{suffix}", ignore_errors=True)
    journals = {kept.parent for folder in folders for kept in _entries(folder)}
    for folder in folders:
        for kept in _kept(folder):
            if kept.stat().st_size:
                copy = folder.last.with_name(f".{folder.last.name}.{os.getpid()}.partial")
                shutil.copyfile(kept, copy)
                copy.replace(folder.last)
            else:
                folder.last.unlink(missing_ok=True)
    for journal in journals:
        _discard(journal)


def _kept(folder: RunFolder) -> list[Path]:
    """The entries of a folder, none if its checkpoint was deleted: the checkpoints in a journal were only replaced."""
    return _entries(folder) if folder.last.exists() else []


def _entries(folder: RunFolder) -> list[Path]:
    journals = folder.path.parent.glob(f"{NAME}*")
    return [kept for one in journals if one.suffix == "" and (kept := one / folder.path.name).exists()]


def _link(file: Path, to: Path) -> None:
    try:
        to.hardlink_to(file)  # checkpoints are replaced, never written to
    except OSError:  # a file system without links
        shutil.copyfile(file, to)


def _discard(journal: Path) -> None:
    done = journal.with_name(f"{journal.name}.done")
    shutil.rmtree(done, ignore_errors=True)
    journal.rename(done)
    shutil.rmtree(done)
