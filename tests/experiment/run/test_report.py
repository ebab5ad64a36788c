"""The report that a run prints when it ends."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from bionets.experiment.run.fast_dev_run import FOLDER
from bionets.experiment.run.report import command_of, print_results, program
from bionets.experiment.run.run_folder import RunFolder


@pytest.fixture(autouse=True)
def outside_bionets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIONETS_COMMAND", raising=False)


def test_the_command_keeps_the_path_of_the_script_and_the_folder_of_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["../a folder/train.py", "--config-dir", "my configs", "model=mine"])
    assert command_of(["model=mine"]) == "python '../a folder/train.py' --config-dir 'my configs' model=mine"
    assert program("evaluate") == "python '../a folder/evaluate.py'"
    monkeypatch.setattr(sys, "argv", ["train.py", "--config-dir=mine", "model=mine"])
    assert command_of(["model=mine"]) == "python train.py --config-dir mine model=mine"
    monkeypatch.setattr(sys, "argv", ["train.py", "model=mine"])
    assert command_of(["model=mine", "task.a=[1,2]"]) == "python train.py model=mine 'task.a=[1,2]'"


def test_the_printed_command_uses_the_console_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIONETS_COMMAND", "train")
    monkeypatch.setattr(sys, "argv", ["/bin/bionets", "-cd", "mine", "seed=1"])
    assert command_of(["seed=1"]) == "bionets train --config-dir mine seed=1"


@pytest.mark.parametrize("kept", [True, False])
def test_a_temporary_run_folder_is_not_printed(
    kept: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if not kept:
        monkeypatch.setenv(FOLDER, str(tmp_path))
    config = {"task": {"name": "my_task"}, "model": {"name": "my_model"}, "seed": 0}
    result = {"metrics": {"test/loss": 0.5}, "epochs": 1, "steps": 1, "wall_time": 1.0, "best_epoch": 0}
    print_results(Console(width=400), config, result, RunFolder(tmp_path / "run"), [])
    assert (str(tmp_path) in capsys.readouterr().out) is kept
