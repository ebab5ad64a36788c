"""The runs of a W&B project are read as their folders would be."""

import math
from pathlib import Path
from typing import Any

import pytest

from bionets.experiment.comparison.runs import LeftOut, Run, WandbPlace, read_folders
from bionets.experiment.errors import UserError
from bionets.experiment.logging.wandb_runs import read_project, read_wandb_run
from tests.experiment.logging.wandb_api import Api, ApiRun
from tests.experiment.run_folders import config_of, make_run, result_of


def summary_of(accuracy: float) -> dict[str, Any]:
    result = result_of(accuracy)
    more = {"headline": list(result["metrics"]), "tests": result["tests"], "parameters": 20901, "wall_time": 12.5}
    return {**result["metrics"], **more, "val/accuracy": 0.3, "_step": 9}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)


def test_a_finished_run_has_the_values_of_its_folder(tmp_path: Path) -> None:
    make_run(tmp_path, accuracy=0.75)
    (folder,) = read_folders(str(tmp_path))[0]
    run = read_wandb_run(ApiRun(config_of(), summary_of(0.75)))
    assert isinstance(run, Run)
    assert (run.metrics, run.tests, run.more) == (folder.metrics, folder.tests, folder.more)
    assert run.mirror == WandbPlace("lab", "bionets", "abc12345")


def test_curves_are_read_from_the_history_with_each_step_once() -> None:
    history = [
        {"trainer/global_step": 1, "val/loss": 0.5, "_step": 0},
        {"trainer/global_step": 1, "val/loss": 0.5, "train/loss": "NaN", "_step": 1},
        {"trainer/global_step": 3, "val/loss": 0.25, "train/loss": None, "tests/accuracy": 1.0, "_step": 2},
        {"_step": 3, "figures/loss": {"_type": "image-file"}},
    ]
    run = read_wandb_run(ApiRun(config_of(), summary_of(0.5), history))
    assert isinstance(run, Run)
    curves = run.curves()
    assert curves.keys() == {"val/loss", "train/loss"}
    assert curves["val/loss"] == ([1, 3], [0.5, 0.25])
    assert math.isnan(curves["train/loss"][1][0])


@pytest.mark.parametrize(
    ("run", "reason", "incomplete"),
    [
        (ApiRun(config_of(), {}, state="crashed"), "crashed", True),
        (ApiRun(config_of(), {"val/loss": 1.0}), "finished without a result", False),
        (ApiRun({"lr": 0.1}, {}), "not a run of bionets", False),
        (ApiRun(config_of(), summary_of(math.nan)), "its test/accuracy_length_60 is nan", False),
    ],
)
def test_incomplete_runs_are_left_out_with_a_reason(run: ApiRun, reason: str, incomplete: bool) -> None:
    assert read_wandb_run(run) == LeftOut(run.url, reason, incomplete)


def test_unknown_projects_and_projects_without_runs_are_refused(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [ApiRun(config_of(seed=seed), summary_of(0.5)) for seed in range(3)]
    runs[1].state = "running"
    monkeypatch.setattr("wandb.Api", lambda: Api({"lab/bionets": runs, "lab/empty": []}))
    found, left_out = read_project("lab/bionets")
    assert [run.seed for run in found] == [0, 2]
    assert [run.reason for run in left_out] == ["running"]
    with pytest.raises(UserError, match="lab/other"):
        read_project("lab/other")
    with pytest.raises(UserError, match="wandb=sync"):
        read_project("lab/empty")


def test_reading_a_project_without_an_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(UserError, match="wandb login"):
        read_project("lab/bionets")
