"""Upload of offline runs to W&B."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bionets.experiment.comparison.runs import require_run_folders
from bionets.experiment.console import print_line
from bionets.experiment.errors import UserError
from bionets.experiment.logging.wandb_login import logged_in

AT_ONCE = 200  # run folders on one command line


def sync(pattern: str) -> None:
    """Upload the offline runs in or below the folders that match a glob with ``wandb sync``. Runs that were uploaded
    before are skipped; W&B marks them by a file ``*.wandb.synced``.
    """
    files = offline_files(pattern)
    waiting = [file for file in files if not synced(file)]
    before = len(files) - len(waiting)
    print_line(f"{_runs(len(waiting))} to send, {before} sent before")
    if not waiting:
        return
    if not logged_in():
        raise UserError(f"{_runs(len(waiting))} wait for a W&B account: run `wandb login`, then this command again")
    for start in range(0, len(waiting), AT_ONCE):
        wandb_sync([file.parent for file in waiting[start : start + AT_ONCE]])
    failed = [file for file in waiting if not synced(file)]
    print_line(f"sent {len(waiting) - len(failed)} of {len(waiting)}")
    if failed:
        raise UserError(f"W&B did not accept {_runs(len(failed))}, such as {failed[0]}: the same command tries again")


def offline_files(pattern: str) -> list[Path]:
    """W&B's transaction logs of all offline runs; a resumed run has several. Raises UserError for no run folder."""
    folders = require_run_folders(pattern)
    return [file for folder in folders for file in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]


def synced(file: Path) -> bool:
    return file.with_name(f"{file.name}.synced").exists()


def wandb_sync(folders: Sequence[Path]) -> None:
    """Run ``wandb sync``, which prints its own progress."""
    subprocess.run([sys.executable, "-m", "wandb", "sync", *map(str, folders)], check=False)


def _runs(number: int) -> str:
    return f"{number} offline run{'' if number == 1 else 's'}"
