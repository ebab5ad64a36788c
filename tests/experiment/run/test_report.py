"""What a run says when it ends."""

import sys

import pytest

from bionets.experiment.run.report import command_of, program


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


def test_the_console_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIONETS_COMMAND", "train")
    monkeypatch.setattr(sys, "argv", ["/bin/bionets", "-cd", "mine", "seed=1"])
    assert command_of(["seed=1"]) == "bionets train --config-dir mine seed=1"
