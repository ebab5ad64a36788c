"""`bionets new`."""

from pathlib import Path

import pytest

from bionets.experiment.commands.new import new, write_project
from bionets.experiment.errors import UserError


def test_every_file_uses_the_name_of_the_new_project(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (write_project(tmp_path / "empty") / "README.md").exists()
    folder = write_project(tmp_path / "not there" / "my-own project")
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert {"README.md", "Makefile", "cells.py", "tasks.py", "first.yaml"} <= {file.name for file in files}
    assert (folder / "my_own_project" / "cells.py").exists() and (folder / "configs" / "model" / "leaky.yaml").exists()
    assert not [file for file in files if "my_project" in file.read_text() or file.suffix == ".template"]


def test_folders_that_are_not_empty_and_invalid_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(UserError, match="not empty"):
        write_project(tmp_path / "there")
    with pytest.raises(UserError, match="not empty"):
        write_project(tmp_path / "there" / "file")
    for name in ("1st", "class"):
        with pytest.raises(UserError, match="Python package"):
            write_project(tmp_path / name)


@pytest.mark.parametrize("name", ["json", "sys", "torch", "bionets", "tests", "configs"])
def test_a_name_that_another_module_has_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose another name"):
        write_project(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_the_working_directory_is_named_by_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "first_project").mkdir()
    monkeypatch.chdir(tmp_path / "first_project")
    write_project(Path())
    assert Path("first_project", "cells.py").exists()


@pytest.mark.parametrize("words", [["--help"], ["my_project", "-h"]])
def test_help_describes_the_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert new(words) == 0
    assert capsys.readouterr().out.startswith("bionets new my_project: ")


@pytest.mark.parametrize("words", [[], ["a", "b"], ["--other"]])
def test_arguments_other_than_one_name_print_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert new(words) == 1
    assert "bionets new my_project" in capsys.readouterr().err
