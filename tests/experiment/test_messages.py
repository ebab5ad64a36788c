"""Commands in messages can be pasted into a shell."""

import ast
import errno
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError

from bionets.experiment.command_line import program
from bionets.experiment.errors import one_line
from tests.acceptance.conftest import ROOT, Command, cli, workplace

__all__ = ["cli", "workplace"]


def messages() -> Iterator[tuple[str, str]]:
    """The texts of all errors in the sources, with their places; what is filled in is a brace."""
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                for part in ast.walk(node.exc):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield f"{file.name}:{part.lineno}", part.value


def test_no_message_assumes_how_the_command_was_started() -> None:
    found = [(place, text) for place, text in messages() if re.search(r"python \w+\.py|bionets (train|compare)", text)]
    assert not found


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "from bionets.experiment.console import print_line; print_line('a run')"],
        ["-m", "bionets", "compare", "--help"],
    ],
)
def test_a_closed_pipe_ends_a_command_without_a_message(words: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, *words]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_a_key_of_a_list_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigAttributeError) as error:
        _ = OmegaConf.create({"metrics": []}).metrics.x
    assert one_line(error.value) == "there is no key metrics[x]; --help shows all keys"


def test_an_error_of_the_file_system_names_the_file_and_the_reason(cli: Command, workplace: Path) -> None:
    (workplace / "taken").write_text("")
    outcome = cli("train", "paths.output_dir=taken")
    reason = os.strerror(errno.ENOTDIR).lower()
    assert outcome.code == 1 and outcome.error.startswith("error: taken/") and outcome.error.endswith(f": {reason}\n")


def test_suggested_commands_are_started_like_the_running_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIONETS_COMMAND", raising=False)
    monkeypatch.setattr("sys.argv", ["my folder/train.py"])
    assert shlex.split(program("compare")) == ["python", "my folder/compare.py"]
    monkeypatch.setenv("BIONETS_COMMAND", "train")
    assert program("compare") == "bionets compare"


def test_a_sweep_without_m_is_refused_with_the_right_command(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIONETS_COMMAND", "train")
    assert "bionets train -m sweep=seeds" in cli("train", "sweep=seeds").error


def test_help_lists_the_choices_of_the_users_own_folders(cli: Command, workplace: Path) -> None:
    for folder, name in (("configs", "here"), ("other", "there")):
        (workplace / folder / "paths").mkdir(parents=True)
        (workplace / folder / "paths" / f"{name}.yaml").touch()
    outcome = cli("train", "--help", "--config-dir", "other")
    assert "paths        default, here, there\n" in outcome.out, outcome.error


def test_braces_are_quoted_for_the_shell(cli: Command, workplace: Path) -> None:
    (workplace / "outputs").mkdir()
    error = cli("runs", "where=brc").error
    word = error.partition("write ")[2].strip()
    shown = subprocess.run(["bash", "-c", f"printf '%s\\n' {word}"], capture_output=True, text=True).stdout
    assert shown.splitlines() == ["where={task.length:300,model.num_layers:2}"]
