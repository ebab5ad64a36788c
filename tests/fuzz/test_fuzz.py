"""A slice of the random commands, and all that ever failed."""

from pathlib import Path

import pytest

from tests.fuzz import fuzzing, runner

FIRST, COUNT = 1000, 12


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return fuzzing.make_runs(tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_a_random_command_ends_in_order(runs: list[Path], seed: int) -> None:
    failure = fuzzing.try_one(seed, runs, seconds=300)
    assert failure is None, f"{failure.why}: {failure.shown()}"


@pytest.mark.parametrize("file", sorted(fuzzing.SEEDS.glob("*.json")), ids=lambda file: file.stem)
def test_a_command_that_failed_once_ends_in_order(runs: list[Path], file: Path) -> None:
    failure = fuzzing.try_kept(file, runs, seconds=300)
    assert failure is None, f"{failure.why}: {failure.shown()}"


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 8))
def test_a_damaged_file_ends_in_order(runs: list[Path], seed: int) -> None:
    failure = fuzzing.try_damage(seed, runs, seconds=300)
    assert failure is None, f"{failure.why}: {failure.shown()}"


def test_disorder_is_found() -> None:
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
