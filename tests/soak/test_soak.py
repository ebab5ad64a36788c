"""A slice of the soak test: some kills of every kind of command, and some sizes of a disk."""

import pytest

from tests.soak.__main__ import soak
from tests.soak.disk import walk
from tests.soak.scenarios import SCENARIOS


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", SCENARIOS)
def test_a_killed_command_ends_as_if_it_had_not_been(kind: str) -> None:
    assert soak([kind], kills=4, seed=1) == 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_goes_on_once_the_disk_has_space_again() -> None:
    assert [fault for _, fault in walk(5) if fault] == []
