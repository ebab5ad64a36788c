"""The small files of a run folder are checked against their schemas and against the manifest."""

import math
from pathlib import Path
from typing import Any

import pytest

from bionets.experiment.errors import UserError
from bionets.experiment.run.manifest import manifest_of
from bionets.experiment.run.run_files import IN_EVERY_RUN, CompleteResultFile, ConfigFile, validated
from bionets.experiment.run.run_folder import RunFolder

CONFIG = {"name": "run", "seed": 0, "model": {"name": "brc"}, "task": {"name": "t"}, "trainer": {"max_epochs": 3}}
RESULT = {"status": "complete", "metrics": {"test/loss": 0.5}, "tests": {"test": {"loss": 0.5}}}
FILE = Path("file.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": {"name": "t", "seed": 1}}, "file.json: seed is 0, and task.seed 1: restore it"),
        ({"seed": -1}, "file.json: seed: "),
        ({"seed": 2**32}, "file.json: seed: "),
        ({"seed": "0"}, "file.json: seed: .*, got '0': restore it"),
        ({"seed": True}, "file.json: seed: .*, got True"),
        ({"model": {"name": "brc", "size": 2**63}}, r"model\.size is a whole number of more than 64 bits"),
        ({"more": [1, {"b": -(2**63) - 1}]}, r"more\.1\.b is a whole number of more than 64 bits"),
        ({"trainer": {"precision": "a\x1b"}}, r"file.json: trainer\.precision: text holds control characters"),
        ({"name": "../x"}, "file.json: name: a name "),
        ({"format": 2}, "file.json: format: format 2 is not known to this version of bionets"),
        ({"task": {}}, r"file.json: task\.name: the key is missing, so it was not written by bionets"),
        ({"average_weights": 10**400}, "whole number of more than 64 bits"),
    ],
)
def test_an_invalid_config_file_is_refused_with_its_key(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validated(FILE, CONFIG | change, ConfigFile, "restore it")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2**32 - 1},
        {"task": {"name": "t", "seed": 0}},
        {"more": [2**63 - 1, -(2**63)], "another": {"key": None}},
        {"average_weights": 1, "format": 1},
    ],
)
def test_a_valid_config_file_is_returned_unchanged(change: dict[str, Any]) -> None:
    assert validated(FILE, CONFIG | change, ConfigFile, "restore it") == CONFIG | change


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({"metrics": {}}, False),
        ({"metrics": {"a": math.nan, "b": -math.inf, "c": 10**18}}, True),
        ({"metrics": {"a": 10**18 + 1}}, False),
        ({"metrics": {"a\n": 1.0}}, False),
        ({"wall_time": 0}, True),
        ({"wall_time": -1.0}, False),
        ({"wall_time": math.inf}, False),
        ({"parameters": 0, "steps": 10**18}, True),
        ({"parameters": -1}, False),
        ({"steps": 10**18 + 1}, False),
        ({"status": "done"}, False),
    ],
)
def test_the_numbers_of_a_result_file_have_limits(change: dict[str, Any], valid: bool) -> None:
    if valid:
        assert validated(FILE, RESULT | change, CompleteResultFile, "restore it") == RESULT | change
    else:
        with pytest.raises(UserError, match=rf"^file\.json: {next(iter(change))}"):
            validated(FILE, RESULT | change, CompleteResultFile, "restore it")


def test_a_manifest_detects_each_file_that_was_changed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.changed_files() == {}
    *names, later = IN_EVERY_RUN
    same, other, longer, deleted = files = [tmp_path / name for name in names]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text("text")
    (tmp_path / "manifest.json").write_text(manifest_of(tmp_path, [*files, tmp_path / "none"], {later: b"{}"}))
    assert folder.changed_files() == {later: "is missing"}
    (tmp_path / later).write_text("{}")
    (tmp_path / "unknown").touch()
    assert folder.changed_files() == {}

    other.write_text("next")
    longer.write_text("text and more")
    deleted.unlink()
    changed = dict(zip(names[1:], ["is not as the run wrote it"] * 2 + ["is missing"], strict=True))
    assert folder.changed_files() == changed
    assert folder.changed_files(contents=False) == {name: changed[name] for name in names[2:]}
    for file in (same, tmp_path / "unknown"):
        folder.require_unchanged(file)
    for name, fault in changed.items():
        with pytest.raises(UserError, match=f"{name} {fault}"):
            folder.require_unchanged(tmp_path / name)
