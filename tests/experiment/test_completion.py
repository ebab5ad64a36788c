"""Shell completion of ``bionets`` and of ``train.py``."""

import os
import subprocess
import sys

import pytest

from tests.acceptance.conftest import ROOT, Command, cli, workplace

__all__ = ["cli", "workplace"]
BIONETS = [sys.executable, "-c", "import sys; sys.argv[0] = 'bionets'; from bionets.__main__ import main; main()"]


def completions(line: str) -> list[str]:
    environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    outcome = subprocess.run([*BIONETS, "-sc", "query=bash"], env=environment, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.split()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("bionets ev", ["evaluate"]),
        ("bionets evaluate chec", ["checkpoint="]),
        ("bionets runs so", ["sort="]),
        ("bionets nothing so", []),
        pytest.param("bionets train model=nb", ["model=nbrc"], marks=pytest.mark.slow),
    ],
)
def test_an_argument_is_completed(line: str, found: list[str]) -> None:
    assert completions(line) == found


def test_the_installed_script_completes_bionets() -> None:
    outcome = subprocess.run([*BIONETS, "evaluate", "-sc", "install=bash"], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.rstrip().endswith("bionets")


@pytest.mark.parametrize("words", [[], ["nonsense"], ["install=tcsh"], ["query=bash", "install=zsh"]])
def test_an_invalid_completion_argument_gives_a_one_line_error(cli: Command, words: list[str]) -> None:
    outcome = cli("evaluate", "--shell-completion", *words)
    assert outcome.code == 1
    assert outcome.error.startswith("error: ") and outcome.error.count("\n") == 1


def test_the_completion_script_is_valid_bash() -> None:
    script = subprocess.run(
        [sys.executable, str(ROOT / "evaluate.py"), "-sc", "install=bash"], capture_output=True, text=True
    ).stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
