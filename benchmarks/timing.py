"""Contestants run in turn, round after round, so that a drift of the machine hits all alike; medians of the rounds."""

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

LOOP = "the same step in a loop: backend='reference'"  # a contestant's remark


@dataclass(frozen=True)
class Contestant:
    """build: imports what it needs, allocates, and returns the function to be timed. work: what this contestant must do
    at least, where that differs from the comparison's. most_rounds: for the very slow; one round goes without warm-up.
    """

    name: str
    build: Callable[[], Run]
    remark: str = ""
    work: Work | None = None
    most_rounds: int | None = None


@dataclass(frozen=True)
class Comparison:
    """The first contestant is ours. `name` is what `--only` chooses by."""

    name: str
    title: str
    work: Work
    contestants: tuple[Contestant, ...]


@dataclass
class Row:
    """The measurement of one library; `failure` is the reason why there is none."""

    contestant: Contestant
    seconds: list[float] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failure: str | None = None

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None


def compare(comparison: Comparison, rounds: int) -> list[Row]:
    """Build and warm up all contestants, then time them in turn for `rounds` rounds. One that fails is left out."""
    rows = [Row(contestant) for contestant in comparison.contestants]
    runs = [_attempt(row, partial(_prepare, row)) for row in rows]
    gc.collect()
    gc.freeze()  # what lives until the end need not be looked at before every timing
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
        for _ in range(2):  # the first call compiles, the second one meets warm memory
            run()
    return run


def _clock(row: Row, run: Run) -> None:
    gc.collect()
    if row.contestant.most_rounds is None:
        run()  # untimed: the threads of the library before may still spin, and the caches hold its data
    start = time.perf_counter()
    run()
    row.seconds.append(time.perf_counter() - start)


def _attempt(row: Row, action: Callable[[], T]) -> T | None:
    """The result of `action`; its warnings and its failure go into the row: no peer stops the benchmark."""
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
