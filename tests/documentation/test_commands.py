"""Every command of README and docs works: all are composed, and run at small size."""

import os
import subprocess
import sys

import pytest

from tests.documentation.commands import PAGES, ROOT, command_of, lines_of

WITH_COMMANDS = [page.name for page in PAGES if any(command_of(page, line) for line in lines_of(page))]


def run_pages(*words: str) -> None:
    """In a process of its own, since the commands are forked: a process that has used OpenMP cannot be."""
    command = [sys.executable, "-m", "tests.documentation", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    outcome = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout[-5000:] + outcome.stderr[-2000:]


def test_commands_are_found_in_the_main_pages() -> None:
    assert {"README.md", "tutorial.md", "sweeps.md", "training.md"} <= set(WITH_COMMANDS)


def test_every_command_composes() -> None:
    run_pages("--compose")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "page", [pytest.param(name, marks=[] if name == "install.md" else pytest.mark.slow) for name in WITH_COMMANDS]
)
def test_the_commands_of_a_page_run(page: str) -> None:
    run_pages(page)
