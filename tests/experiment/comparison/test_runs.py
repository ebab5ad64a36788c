"""Runs are read from their folders alone; incomplete runs are left out with a reason."""

import json
from pathlib import Path

import pytest

from bionets.experiment.comparison.runs import Run, WandbPlace, changes, matching, read_folders, readable, value_of
from bionets.experiment.errors import UserError
from tests.experiment.run_folders import add_offline_wandb, config_of, make_run


def test_every_folder_is_read_or_left_out_with_a_reason(tmp_path: Path) -> None:
    whole = make_run(tmp_path, seed=0, accuracy=0.9)
    make_run(tmp_path, seed=1, accuracy=None)
    failed, torn = make_run(tmp_path, seed=2), make_run(tmp_path, seed=3)
    (failed / "result.json").write_text(json.dumps({"status": "failed", "error": "the loss became nan"}))
    (torn / "result.json").write_text('{"status"')
    runs, left_out = read_folders(str(tmp_path))
    assert [run.place for run in runs] == [str(whole)]
    reasons = {Path(run.place).name: run.reason for run in left_out}
    assert reasons["seed-1"] == "not ended"
    assert reasons["seed-2"] == "failed (the loss became nan)"
    assert reasons["seed-3"].startswith("unreadable")


def test_the_wandb_folder_of_a_run_is_not_read_as_a_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    add_offline_wandb(folder, "abc12345")
    for place in (tmp_path, tmp_path / "**"):
        runs, left_out = read_folders(str(place))
        assert (len(runs), left_out) == (1, [])
    assert runs[0].mirror == WandbPlace(None, "bionets", "abc12345")


def test_a_glob_finds_folders_at_any_depth_once_each(tmp_path: Path) -> None:
    for seed in range(3):
        make_run(tmp_path, seed=seed)
    make_run(tmp_path, model="gru")
    assert len(read_folders(f"{tmp_path}/br*")[0]) == 3
    assert len(read_folders(f"{tmp_path}/**")[0]) == 4
    with pytest.raises(UserError, match="no run folder"):
        read_folders(str(tmp_path / "elsewhere"))


def test_the_values_of_a_run_include_metrics_parameters_and_tests(tmp_path: Path) -> None:
    make_run(tmp_path, accuracy=0.8)
    (run,) = read_folders(str(tmp_path))[0]
    shown = [run.value(name) for name in ("test/accuracy_length_60", "parameters", "length_60/accuracy", "val/none")]
    assert shown == [0.8, 20901, pytest.approx(0.04), None]
    assert run.curves()["val/loss"] == ([29], [0.5])


def test_runs_are_selected_by_values_of_their_config(tmp_path: Path) -> None:
    for layers in (1, 2):
        make_run(tmp_path, layers=layers)
    runs, _ = read_folders(str(tmp_path))
    assert [run.config["model"]["num_layers"] for run in matching(runs, {"model.num_layers": 2})] == [2]
    assert len(matching(runs, {"model.num_layers": 2.0})) == 1
    assert matching(runs, {"task.curriculum": False}) == []
    with pytest.raises(UserError, match=r"where=model\.colour"):
        matching(runs, {"model.colour": "red"})


def test_the_keys_model_and_task_give_their_names() -> None:
    config = config_of("nbrc")
    assert [value_of(config, key) for key in ("model", "task", "task.length", "task.none")] == [
        "nbrc",
        "binary_addition",
        "20",
        "-",
    ]


def test_long_values_that_differ_at_their_end_are_different() -> None:
    layers = [{"layer": "LIB", "size": 100, "beta": 0.9, "norm": "batch"}] * 12
    values = [value_of({"model": {"layers": [*layers, last]}}, "model.layers") for last in ("a", "b", "a")]
    assert values[0] == values[2] != values[1] and max(map(len, values)) < 320


@pytest.mark.parametrize("name", ["a[b]", "what?", "all*", "[!a]"])
def test_a_folder_whose_name_holds_wildcards_is_found_by_its_name(tmp_path: Path, name: str) -> None:
    folder = make_run(tmp_path / name)
    for place in (tmp_path / name, folder):
        assert [run.place for run in read_folders(str(place))[0]] == [str(folder)]


def test_unfinished_runs_have_curves_and_no_metrics(tmp_path: Path) -> None:
    make_run(tmp_path, seed=0, accuracy=0.9)
    make_run(tmp_path, seed=1, accuracy=None)
    stopped, failed = make_run(tmp_path, seed=2), make_run(tmp_path, seed=3)
    (stopped / "result.json").write_text(json.dumps({"status": "interrupted", "error": "Terminated"}))
    (failed / "result.json").write_text(json.dumps({"status": "failed", "error": "the loss became nan"}))
    runs, left_out = read_folders(str(tmp_path), unfinished=True)
    assert [(run.seed, bool(run.metrics), "val/loss" in run.curves()) for run in runs] == [
        (0, True, True),
        (1, False, True),
        (2, False, True),
    ]
    assert [run.reason for run in left_out] == ["failed (the loss became nan)"]


def test_a_change_is_reported_once_with_the_number_of_its_runs() -> None:
    runs = [Run(place, {}, {}, {}, dict, changed={"metrics.csv": "was changed"}) for place in ("a", "b", "c")]
    assert changes(runs[:1]) == ["metrics.csv was changed in a"]
    assert changes(runs) == ["metrics.csv was changed in a and 2 more"]


def test_a_run_under_the_name_of_another_seed_and_numbers_that_overflow_are_left_out(tmp_path: Path) -> None:
    for seed in range(3):
        make_run(tmp_path, seed=seed)
    parent = tmp_path / "brc" / "run-1-0.001"
    (parent / "seed-0").rename(parent / "seed-7")
    (parent / "seed-1").rename(parent / "seed-one")  # any other name may be given
    with (parent / "seed-2" / "metrics.csv").open("a") as file:
        file.write("29,0,val/loss,-1e100\n")
    make_run(tmp_path, "gru", accuracy=1e100)
    make_run(tmp_path, "lstm", accuracy=9e99)
    runs, left_out = read_folders(str(tmp_path))
    found, damaged = readable(runs)
    assert [run.config["model"]["name"] for run in found] == ["brc", "lstm"] and found[0].place.endswith("seed-one")
    reasons = [each.reason for each in (*left_out, *damaged)]
    assert len(reasons) == 3 and "says seed 0: name the folder seed-0" in reasons[0]
    assert reasons[1:] == ["its test/accuracy_length_60 is 1e+100", "its val/loss is too large to be drawn"]


def test_runs_in_hidden_folders_are_not_found(tmp_path: Path) -> None:
    make_run(tmp_path, "brc")
    make_run(tmp_path / ".trash", "gru")
    assert [run.config["model"]["name"] for run in read_folders(str(tmp_path))[0]] == ["brc"]
