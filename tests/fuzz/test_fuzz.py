"""A slice of the random commands and of the damaged files."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import runner

ROOT = Path(__file__).parents[2]
FIRST = 1000  # seed


@pytest.mark.parametrize("words", [["--commands", "12"], ["--commands", "8", "--damaged"]], ids=["commands", "damaged"])
def test_random_commands_end_without_a_fault(words: list[str]) -> None:
    """In a process of its own, since the commands are forked: a process that has used OpenMP cannot be."""
    command = [sys.executable, "-m", "tests.fuzz", "--minutes", "8", "--seconds", "300", "--seed", str(FIRST), *words]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr


def test_faulty_outcomes_are_detected() -> None:
    for outcome in (
        runner.Outcome(None, "", ""),
        runner.Outcome(-9, "", ""),
        runner.Outcome(1, "", "Traceback (most recent call last):\nerror: x\n"),
        runner.Outcome(1, "", ""),
        runner.Outcome(1, "", "error: x\nerror: y\n"),
        runner.Outcome(1, "", "error: \x1b[31m\n"),
        runner.Outcome(1, "", f"error: {'x' * 3000}\n"),
    ):
        assert runner.fault(outcome) is not None
    assert runner.fault(runner.Outcome(1, "", "error: seed must be a number\n")) is None
