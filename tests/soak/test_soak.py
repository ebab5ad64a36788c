"""A slice of the soak test: some kills of every kind of command, some sizes of a disk, some points of a command."""

from pathlib import Path
from random import Random

import pytest

from tests.soak.__main__ import soak
from tests.soak.disk import walk
from tests.soak.points import at_points
from tests.soak.scenarios import SCENARIOS
from tests.tasks import idx_files


@pytest.fixture(autouse=True)
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mnist", "fashion_mnist"):
        idx_files.write(tmp_path / "images", name, train=300, test=100)
    monkeypatch.setenv("BIONETS_DATA", str(tmp_path / "images"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", SCENARIOS)
def test_a_killed_command_ends_like_an_uninterrupted_one(kind: str) -> None:
    assert soak([kind], kills=4, seed=1) == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_resumes_once_the_disk_has_space_again() -> None:
    assert [fault for _, fault in walk(5) if fault] == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["single", "compare", "evaluate"])
def test_a_command_that_ends_at_any_file_change_can_be_repeated(kind: str, tmp_path: Path) -> None:
    assert list(at_points(SCENARIOS[kind], tmp_path / kind, Random(1), points=6)) == []
