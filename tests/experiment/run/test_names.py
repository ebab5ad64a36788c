"""Names are one component of a path: no run or study leaves the output folder."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bionets.experiment.console import printable_line
from bionets.experiment.run.names import fault_of_component
from tests.acceptance.conftest import SMALL, Command, cli, workplace

__all__ = ["cli", "workplace"]  # fixtures

LEAVING = ["../up", "/abs", "a/b", "..", ".", ".hidden", "", "a\\b"]


@pytest.mark.parametrize("name", LEAVING)
def test_a_name_that_is_not_a_single_path_component_is_rejected(name: str) -> None:
    assert fault_of_component(name) is not None


@pytest.mark.parametrize("key", ["name", "task.name", "model.name"])
@pytest.mark.parametrize("name", ["../up", ""])
def test_a_name_that_leaves_the_output_folder_is_refused(cli: Command, workplace: Path, key: str, name: str) -> None:
    outcome = cli("train", *SMALL, f"{key}='{name}'")
    assert outcome.code == 1 and outcome.error.count("\n") == 1
    named = [f"{key}="] if name else [f"{key}=", f"{key} must", "has no name"]
    assert any(words in outcome.error for words in named)
    assert list(workplace.iterdir()) == []


def test_a_study_name_that_leaves_the_output_folder_is_refused(cli: Command, workplace: Path) -> None:
    words = ("sweep=random", "hydra.sweeper.n_trials=1", "task.length=3,5")
    for name in ("../../up", "/abs", ".."):
        outcome = cli("train", "-m", *SMALL, *words, f"hydra.sweeper.study_name={name}")
        assert outcome.code == 1 and f"hydra.sweeper.study_name={name}" in outcome.error
    assert list(workplace.iterdir()) == []


def test_terminal_escapes_in_a_name_are_refused_and_not_printed(cli: Command, workplace: Path) -> None:
    outcome = cli("train", *SMALL, "model.name='\x1b[2Jx'")
    assert outcome.code == 1 and "control characters" in outcome.error
    assert "\x1b" not in outcome.error + outcome.out


def test_markup_in_a_name_is_printed_literally(cli: Command, workplace: Path) -> None:
    words = ("model.name='[red]x[bold]'", "trainer.max_epochs=1", "task.train_size=20")
    assert cli("train", *SMALL, *words).code == 0
    compared = cli("compare", "runs=outputs")
    assert compared.code == 0 and "[red]x[bold]" in compared.out


@given(st.text())
def test_an_accepted_path_component_stays_in_its_folder(name: str) -> None:
    if fault_of_component(name) is None:
        path = Path("/outputs") / name
        assert path.parent == Path("/outputs") and path.name == name and name.isprintable()


@given(st.text())
def test_printable_line_gives_a_short_line_without_escapes(text: str) -> None:
    assert printable_line(text).isprintable() and len(printable_line(text)) <= 300
