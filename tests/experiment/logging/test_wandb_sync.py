"""Offline runs are sent once, and successes and failures are reported."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bionets.experiment.errors import UserError
from bionets.experiment.logging import wandb_sync
from bionets.experiment.logging.wandb_sync import offline_files, sync
from tests.experiment.run_folders import add_offline_wandb, make_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three offline runs, the first of them sent already, and one that W&B never saw."""
    for seed in range(4):
        folder = make_run(tmp_path / "outputs", seed=seed)
        if seed < 3:
            add_offline_wandb(folder, f"run0000{seed}", synced=seed == 0)
    return tmp_path / "outputs"


def test_only_runs_that_were_not_sent_before_are_sent(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Path] = []

    def send(folders: Sequence[Path]) -> None:  # marks what it took, as wandb sync does
        sent.extend(folders)
        for folder in folders:
            (log,) = folder.glob("*.wandb")
            log.with_name(f"{log.name}.synced").touch()

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb_sync, "wandb_sync", send)
    sync(str(runs))
    assert [folder.name[-1] for folder in sent] == ["1", "2"]
    printed = capsys.readouterr().out
    assert "2 offline runs to send, 1 sent before" in printed
    assert "sent 2 of 2" in printed
    sync(str(runs))
    assert len(sent) == 2
    assert "0 offline runs to send, 3 sent before" in capsys.readouterr().out


def test_runs_that_wandb_does_not_accept_are_reported(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb_sync, "wandb_sync", lambda folders: None)
    with pytest.raises(UserError, match="did not accept 2 offline runs"):
        sync(str(runs))


def test_nothing_is_sent_without_an_account(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(runs / "none"))
    monkeypatch.setattr(wandb_sync, "wandb_sync", lambda folders: pytest.fail("nothing may be sent"))
    with pytest.raises(UserError, match="2 offline runs wait for a W&B account: run `wandb login`"):
        sync(str(runs))


def test_a_place_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run folder in runs=.*nowhere"):
        sync(str(tmp_path / "nowhere"))


def test_wandb_sync_finds_the_same_runs(runs: Path) -> None:
    folders = [str(file.parent) for file in offline_files(str(runs))]
    dry = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--dry-run", *folders], capture_output=True, text=True, timeout=60
    )
    assert dry.returncode == 0
    assert "Would sync 2 run(s)" in dry.stderr
    assert "Skipped 1 synced run(s)" in dry.stderr
