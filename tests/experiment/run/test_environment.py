"""The description of the environment of a run."""

import subprocess
from pathlib import Path

import pytest
import torch

from bionets.experiment.run import environment


def test_the_device_is_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a GPU of the machine that the run does not use."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"GPU {device.index}")
    assert environment.describe(torch.device("cuda", 1))["device"] == "GPU 1"
    assert "GPU" not in environment.describe(torch.device("cpu"))["device"]


def test_the_commit_of_an_installed_package_is_that_of_the_users_own_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of a repository around the environment in which the package is installed."""

    def repository(folder: Path) -> str:
        folder.mkdir(exist_ok=True)
        for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", folder.name]):
            user = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
            subprocess.run(["git", *user, *words], cwd=folder, check=True)
        return subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=folder, text=True).strip()

    around, own = tmp_path / "around", tmp_path / "own"
    repository(around)
    installed = around / "site-packages" / "environment.py"
    installed.parent.mkdir()
    installed.touch()
    monkeypatch.setattr(environment, "__file__", str(installed))
    commit = repository(own)
    monkeypatch.chdir(own)
    found = environment.describe(torch.device("cpu"))
    assert found["git_commit"] == commit and found["git_dirty"] is False
    (tmp_path / "none").mkdir()
    monkeypatch.chdir(tmp_path / "none")
    assert environment.describe(torch.device("cpu"))["git_commit"] is None
