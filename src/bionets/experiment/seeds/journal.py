"""A journal that keeps the last checkpoints of several seeds at the same epoch, whenever the process is stopped."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bionets.experiment.run.run_folder import RunFolder

NAME = ".epoch-before-"  # followed by the name of the first seed's folder


@contextmanager
def all_or_none(folders: Sequence[RunFolder]) -> Iterator[None]:
    """In here, every ``last.ckpt`` is replaced by that of the next epoch.

    A rollback journal beside the folders holds the checkpoints of the epoch before for as long as that takes. Where the
    process ends meanwhile, `roll_back` brings them back. Seeds that went on from different epochs would have to be
    trained one by one, with other last digits than in a batch.
    """
    journal = folders[0].path.parent / f"{NAME}{folders[0].path.name}"
    partial = journal.with_name(f"{journal.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
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
    """A seed's checkpoint of the last epoch that all seeds have; None where there is none yet."""
    kept = next(iter(_kept(folder)), folder.last)
    return kept if kept.exists() and kept.stat().st_size else None


def roll_back(folders: Sequence[RunFolder]) -> None:
    """Bring back the checkpoints that a stopped process left in a journal. The folders must be held."""
    for folder in folders:  # journals that were not whole yet, or not needed any more
        for suffix in (".partial", ".done"):
            shutil.rmtree(folder.path.parent / f"{NAME}{folder.path.name}{suffix}", ignore_errors=True)
    journals = {kept.parent for folder in folders for kept in _kept(folder)}
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
    journals = folder.path.parent.glob(f"{NAME}*")
    return [kept for one in journals if one.suffix == "" and (kept := one / folder.path.name).exists()]


def _link(file: Path, to: Path) -> None:
    try:
        to.hardlink_to(file)  # the file is later replaced, never written to
    except OSError:  # a file system without links
        shutil.copyfile(file, to)


def _discard(journal: Path) -> None:
    done = journal.with_name(f"{journal.name}.done")
    shutil.rmtree(done, ignore_errors=True)
    journal.rename(done)
    shutil.rmtree(done)
