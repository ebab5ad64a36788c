"""Timing of libraries that take turns in each round, so that changes of the machine's speed affect all alike; medians
over the rounds.
"""

import gc
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from benchmarks.floor import Work

Run = Callable[[], object]
T = TypeVar("T")

LOOP = "the same step in a loop: backend='reference'"  # the remark of a library


@dataclass(frozen=True)
class Contestant:
    """A library in a comparison.

    build: imports the library, allocates its tensors, and returns the function to be timed. work: the least work of
    this library, if it differs from that of the comparison. most_rounds: the largest number of rounds of a slow
    library; with one round, it has no warm-up.
    """

    name: str
    build: Callable[[], Run]
    remark: str = ""
    work: Work | None = None
    most_rounds: int | None = None


@dataclass(frozen=True)
class Comparison:
    """Libraries that compute the same. The first one is bionets. `--only` selects comparisons by `name`."""

    name: str
    title: str
    work: Work
    contestants: tuple[Contestant, ...]


@dataclass
class Row:
    """The measurement of one library. `failure` is the reason if there is none."""

    contestant: Contestant
    seconds: list[float] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failure: str | None = None

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None


def compare(comparison: Comparison, rounds: int) -> list[Row]:
    """Build and warm up all libraries, and time them in turn for `rounds` rounds. A library that fails is left out."""
    rows = [Row(contestant) for contestant in comparison.contestants]
    runs = [_attempt(row, partial(_prepare, row)) for row in rows]
    gc.collect()
    gc.freeze()  # objects that live until the end are not examined before every timing
    for number in range(rounds):
        for row, run in zip(rows, runs, strict=True):
            allowed = number < (row.contestant.most_rounds or rounds)
            if run is not None and row.failure is None and allowed:
                _attempt(row, partial(_clock, row, run))
    gc.unfreeze()
    return rows


def _prepare(row: Row) -> Run:
    run = row.contestant.build()
    if row.contestant.most_rounds != 1:
        for _ in range(2):  # the first call compiles, the second one fills the caches
            run()
    return run


def _clock(row: Row, run: Run) -> None:
    gc.collect()
    if row.contestant.most_rounds is None:
        run()  # untimed: the threads of the previous library may still spin, and the caches hold its data
    start = time.perf_counter()
    run()
    row.seconds.append(time.perf_counter() - start)


def _attempt(row: Row, action: Callable[[], T]) -> T | None:
    """The result of `action`. Its warnings and its failure are stored in the row, so that a library that fails does not
    stop the benchmark.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for of_no_interest in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", of_no_interest)
        try:
            return action()
        except Exception as error:
            row.failure = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
            return None
        finally:
            row.warnings += [str(warning.message).splitlines()[0] for warning in caught]
