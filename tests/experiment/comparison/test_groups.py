"""Runs are grouped by their keys, and differences that limit a comparison are noted."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bionets.experiment.comparison.groups import Group, grouped, notes, panel_title
from bionets.experiment.comparison.runs import read_folders
from bionets.experiment.errors import UserError
from tests.experiment.run_folders import make_run


def groups_in(folder: Path, *by: str) -> list[Group]:
    return grouped(read_folders(str(folder))[0], by)


def test_the_first_key_separates_groups_and_the_others_separate_panels(tmp_path: Path) -> None:
    for model in ("gru", "brc"):
        for layers in (10, 2):
            make_run(tmp_path, model, layers=layers)
    groups = groups_in(tmp_path, "model", "model.num_layers")
    assert [group.values for group in groups] == [("brc", "2"), ("gru", "2"), ("brc", "10"), ("gru", "10")]
    assert panel_title(groups[0].panel, ["model", "model.num_layers"]) == "num_layers = 2"
    assert notes(groups, ["model", "model.num_layers"]) == []
    with pytest.raises(UserError, match=r"by=model\.colour"):
        groups_in(tmp_path, "model.colour")


def test_pooling_runs_that_differ_in_more_than_the_seed_is_noted(tmp_path: Path) -> None:
    make_run(tmp_path, layers=1)
    make_run(tmp_path, layers=2, seed=1, lr=0.01)
    (note,) = notes(groups_in(tmp_path, "model"), ["model"])
    assert note.startswith("brc pools runs that differ in model.num_layers, optimizer.lr:")
    file = make_run(tmp_path, layers=2, seed=2, lr=0.1) / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["task"] |= {"length": 5, "min_length": 2, "train_size": 10}
    file.write_text(yaml.safe_dump(config))
    (note,) = notes(groups_in(tmp_path, "model"), ["model"])
    assert "model.num_layers, task.length, task.min_length, task.train_size and 1 more:" in note


@pytest.mark.parametrize(
    "first, second, key",
    [
        ({"strategy": "greedy"}, {"strategy": "random"}, "task.strategy"),  # as trainer.strategy
        ({"arguments": {"seed": 1}}, {"arguments": {"seed": 2}}, "task.arguments.seed"),  # not the seed of the run
    ],
)
def test_pooling_runs_that_differ_in_an_option_named_like_an_ignored_setting_is_noted(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], key: str
) -> None:
    for seed, options in enumerate((first, second)):
        file = make_run(tmp_path, seed=seed) / "config.yaml"
        config = yaml.safe_load(file.read_text())
        config["task"] |= options | {"seed": seed}
        file.write_text(yaml.safe_dump(config))
    (note,) = notes(groups_in(tmp_path, "model"), ["model"])
    assert note.startswith(f"brc pools runs that differ in {key}")


def test_a_seed_counted_twice_is_noted(tmp_path: Path) -> None:
    make_run(tmp_path / "a", seed=3)
    make_run(tmp_path / "b", seed=3)
    assert notes(groups_in(tmp_path, "model"), ["model"]) == ["brc counts a seed more than once: 3, 3"]


def test_missing_seeds_are_noted(tmp_path: Path) -> None:
    for seed in range(3):
        make_run(tmp_path, "brc", seed)
    make_run(tmp_path, "gru", 1)
    (note,) = notes(groups_in(tmp_path, "model"), ["model"])
    assert note.startswith("gru has no complete run of seed 0, 2")


@pytest.mark.parametrize("key", ["seed", "task.seed"])
def test_seeds_that_define_groups_are_not_missing_in_the_others(tmp_path: Path, key: str) -> None:
    for seed in range(3):
        make_run(tmp_path, "brc", seed)
    assert notes(groups_in(tmp_path, key), [key]) == []
    assert notes(groups_in(tmp_path, "model", key), ["model", key]) == []


def test_differences_between_groups_beyond_their_keys_are_noted(tmp_path: Path) -> None:
    make_run(tmp_path, "brc", lr=0.01)
    make_run(tmp_path, "gru", lr=0.001)
    assert notes(groups_in(tmp_path, "model"), ["model"]) == [
        "the groups also differ in optimizer.lr: brc 0.01; gru 0.001"
    ]
    assert notes(groups_in(tmp_path, "optimizer.lr"), ["optimizer.lr"]) == [
        "the groups also differ in model.name: 0.001 gru; 0.01 brc"
    ]


def test_settings_of_a_task_that_differ_within_its_panel_are_noted(tmp_path: Path) -> None:
    for model, length in (("brc", 20), ("gru", 30)):
        file = make_run(tmp_path, model) / "config.yaml"
        config = yaml.safe_load(file.read_text())
        config["task"]["length"] = length
        file.write_text(yaml.safe_dump(config))
    said = ["the groups also differ in task.length: brc, binary_addition 20; gru, binary_addition 30"]
    assert notes(groups_in(tmp_path, "model", "task"), ["model", "task"]) == said
    assert notes(groups_in(tmp_path, "model", "task.length"), ["model", "task.length"]) == []
    assert notes(groups_in(tmp_path, "task.length"), ["task.length"]) == [
        "the groups also differ in model.name: 20 brc; 30 gru"
    ]


def test_a_group_has_a_published_value_only_if_all_its_runs_follow_the_protocol(tmp_path: Path) -> None:
    make_run(tmp_path, "nbrc", 0)
    assert groups_in(tmp_path, "model")[0].published == {"test/accuracy_length_60": 0.995}
    make_run(tmp_path, "nbrc", 1, layers=2)
    assert groups_in(tmp_path, "model")[0].published == {}


def test_groups_are_sorted_by_the_numbers_of_their_keys(tmp_path: Path) -> None:
    for lr in (0.01, 1e-5, 0.001, -1.0, -2.0, 10.0):
        make_run(tmp_path, lr=lr)
    assert [group.label for group in groups_in(tmp_path, "optimizer.lr")] == [
        *("-2.0", "-1.0", "1e-05", "0.001", "0.01", "10.0")
    ]
