"""Which seeds are trained together."""

from dataclasses import dataclass
from typing import Any

from bionets.experiment.seeds.train_seeds import at_one_epoch


@dataclass(eq=False)
class Interrupted:
    """A seed with the attributes that the choice reads."""

    next_epoch: int
    stopped: bool = False
    error: Exception | None = None


def test_the_most_seeds_at_one_epoch_are_resumed_with_those_that_ended_before() -> None:
    behind, ahead = [Interrupted(1), Interrupted(1)], Interrupted(2)
    ended, failed = Interrupted(1, stopped=True), Interrupted(0, error=ValueError())
    later = Interrupted(2, stopped=True)  # whose checkpoint is of a later epoch
    seeds: list[Any] = [ahead, ended, behind[0], later, failed, behind[1]]
    assert at_one_epoch(seeds) == [ended, behind[0], failed, behind[1]]
    assert at_one_epoch([later, failed]) == []  # type: ignore[list-item]
