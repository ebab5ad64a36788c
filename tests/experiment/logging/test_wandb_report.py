"""A W&B report shows the compared runs and no others, grouped as the comparison groups them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bionets.experiment.comparison.groups import Group, grouped
from bionets.experiment.comparison.runs import WandbPlace, read_folders
from bionets.experiment.comparison.statistics import summarise
from bionets.experiment.errors import UserError
from bionets.experiment.logging.wandb_report import build_report, project_of, require_report
from tests.experiment.run_folders import add_offline_wandb, make_run

BY = ["model", "model.num_layers"]
METRICS = ["test/accuracy_length_60", "val/loss"]


@pytest.fixture
def groups(tmp_path: Path) -> list[Group]:
    for model in ("brc", "gru"):
        for layers in (1, 2):
            add_offline_wandb(make_run(tmp_path, model, layers=layers), f"{model}{layers}")
    return grouped(read_folders(str(tmp_path))[0], BY)


@pytest.fixture
def blocks(groups: list[Group], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The report as it would be sent; the one question it asks W&B before, the project's number, is answered here."""
    interface = pytest.importorskip("wandb_workspaces.reports.v2.interface")
    monkeypatch.setattr(interface, "_get_api", lambda: None)
    answer = {"project": {"internalId": "UHJvamVjdA=="}}
    monkeypatch.setattr(interface, "execute_graphql", lambda api, query, variables: answer)
    report = build_report("lab", "bionets", groups, summarise(groups, METRICS), BY)
    assert (report.entity, report.project, report.title) == ("lab", "bionets", "binary_addition by model")
    spec = report._to_model().spec.model_dump(by_alias=True, exclude_none=True)
    return spec["blocks"]


def test_a_report_has_the_table_and_a_grid_for_each_panel(blocks: list[dict[str, Any]]) -> None:
    assert "test/accuracy_length_60" in str([block for block in blocks if "markdown" in block["type"]])
    run_sets = [block["metadata"]["runSets"][0] for block in blocks if block["type"] == "panel-grid"]
    assert [run_set["name"] for run_set in run_sets] == ["num_layers = 1", "num_layers = 2"]
    for run_set, identities in zip(run_sets, (["brc1", "gru1"], ["brc2", "gru2"]), strict=True):
        text = str(run_set["filters"])
        assert all(identity in text for identity in identities)
        assert not any(other in text for other in {"brc1", "gru1", "brc2", "gru2"} - set(identities))
        assert [key["name"] for key in run_set["grouping"]] == ["model.value.name", "model.value.num_layers"]


def test_panels_show_group_means_with_standard_errors(blocks: list[dict[str, Any]]) -> None:
    grid = next(block for block in blocks if block["type"] == "panel-grid")
    panels = [panel["config"] for panel in grid["metadata"]["panelBankSectionConfig"]["panels"]]
    shown = {config["chartTitle"]: config for config in panels}
    assert shown.keys() == {"train/loss", "val/loss", "tests/accuracy", "tests/loss", "test/accuracy_length_60"}
    assert shown["train/loss"]["xAxis"] == "trainer/global_step"
    assert shown["tests/accuracy"]["xAxis"] == "tests/length"
    for config in shown.values():
        assert (config["groupBy"], config["groupAgg"], config["groupArea"]) == ("model.value.name", "mean", "stderr")


def test_runs_without_a_mirror_or_in_several_projects_are_refused(tmp_path: Path, groups: list[Group]) -> None:
    assert project_of(groups) == (None, "bionets")
    make_run(tmp_path / "unseen", "lstm")
    with pytest.raises(UserError, match="logger=none"):
        project_of(grouped(read_folders(str(tmp_path / "unseen"))[0], ["model"]))
    elsewhere = replace(groups[0].runs[0], mirror=WandbPlace("lab", "other", "brc3"))
    with pytest.raises(UserError, match="bionets, other"):
        project_of([*groups, Group(("brc", "3"), [elsewhere])])


def test_a_report_without_an_account_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(UserError, match="wandb login"):
        require_report()
