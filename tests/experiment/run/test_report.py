"""The report that a run prints when it ends."""

import sys
from pathlib import Path
from typing import Any

import pytest

from bionets.experiment.run import report
from bionets.experiment.run.fast_dev_run import FOLDER
from bionets.experiment.run.published import Published
from bionets.experiment.run.report import command_of, print_metrics, print_results, program
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
    print_results(config, result, RunFolder(tmp_path / "run"), [])
    assert (str(tmp_path) in capsys.readouterr().out) is kept


def test_the_command_that_evaluates_a_run_trusts_its_own_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    model = {"_target_": "bionets.models.RecurrentModel", "name": "m", "layer": "bionets.layers.NBRC"}
    task = {"_target_": "bionets.tasks.CopyFirstInput", "name": "t"}
    config: dict[str, Any] = {"seed": 0, "model": model, "task": task}
    own_layer = {**config, "model": {**model, "layer": "my_cells.Leaky"}}
    own_parts = {**own_layer, "task": {**task, "_target_": "my_tasks.a.Sums"}, "metrics": ["my_cells.error"]}
    result = {"metrics": {}, "epochs": 1, "steps": 1, "wall_time": 1.0, "best_epoch": 0}
    for each, trust in ((config, ""), (own_layer, " trust=my_cells"), (own_parts, " 'trust=[my_cells,my_tasks]'")):
        print_results(each, result, RunFolder(tmp_path), [])
        *_, last = capsys.readouterr().out.splitlines()
        assert last == f" evaluate  python evaluate.py run={tmp_path}{trust}"


def test_the_table_has_published_values_and_their_sources(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"test/accuracy": Published(0.92, "One 2021"), "test/other": Published(0.5, "Another 2022")}
    monkeypatch.setattr(report, "published", lambda config: known if config["seed"] else {})
    metrics = {"test/accuracy": 0.98765, "val/loss": -0.00012345, "[x]": 1e-3}
    for seed in (0, 1):
        print_metrics({"task": {"name": "t"}, "model": {"name": "m"}, "seed": seed}, metrics)
        title, *lines = capsys.readouterr().out.splitlines()
        rows = [line.strip("│┃ ").replace("┃", "│").split("│") for line in lines if line[0] in "│┃"]
        header, *cells = [[cell.strip() for cell in row] for row in rows]
        assert title == f"m on t, seed {seed}"
        assert header == ["metric", "ours", "published"][: 2 + seed]
        assert [row[:2] for row in cells] == [["test/accuracy", "0.9877"], ["val/loss", "-0.00012"], ["[x]", "0.0010"]]
        assert ([row[2:] for row in cells] == [["0.92"], [], []]) is bool(seed)
        assert [line for line in lines if line.startswith("published")] == ["published: One 2021"] * seed


def test_one_line_has_the_numbers_of_one_run_of_many(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = {"task": {"name": "t"}, "model": {"name": "m"}, "seed": 3}
    result = {"metrics": {"test/loss": 0.123456, "val/loss": 2.0}}
    print_results(config, result, RunFolder(tmp_path), [], brief=True)
    assert capsys.readouterr().out == "m on t, seed 3: test/loss 0.1235, val/loss 2\n"


def test_names_of_metrics_are_whole_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = f"test/accuracy_{'velocity' * 8}:key:"
    print_metrics({"task": {"name": "t"}, "model": {"name": "m"}, "seed": 0}, {name: 0.5})
    assert f"│ {name} │ 0.5000 │" in capsys.readouterr().out
