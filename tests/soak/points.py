"""A command that is killed or interrupted, or finds the disk full, at one of the changes that it makes to files."""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from tests.soak.kills import LONGEST, finish, words_in
from tests.soak.processes import Process
from tests.soak.scenarios import Lasting, Scenario

CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.link")  # audit events of Python
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
ENDS = {"kill": (-signal.SIGKILL,), "interrupt": (130,), "full": (1,), "full once": (0, 1)}


class Point(Process):
    """A command to which this happens at its n-th change of a file in its folder; ``changes`` are those it made."""

    def __init__(self, words: list[str], folder: Path, what: str = "", number: int = 0) -> None:
        self._changes = folder.with_name(f"{folder.name}.changes")
        self._changes.touch()
        self.what, self.number, self.folder = what, number, str(folder)
        super().__init__(words, folder)

    def begin(self) -> None:
        pid, descriptor = os.getpid(), os.open(self._changes, os.O_WRONLY | os.O_TRUNC)
        count = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            if event not in CHANGES or os.getpid() != pid or (event == "open" and not arguments[2] & WRITES):
                return
            if isinstance(arguments[0], int) or not os.path.abspath(arguments[0]).startswith(self.folder):  # noqa: PTH100
                return
            count += 1
            os.write(descriptor, b".")
            if count == self.number and self.what in ("kill", "interrupt"):
                os.kill(pid, signal.SIGKILL if self.what == "kill" else signal.SIGINT)
            full = (self.what == "full" and count >= self.number) or (self.what == "full once" and count == self.number)
            if full and event != "os.remove":
                raise OSError(errno.ENOSPC, "No space left on device", str(arguments[0]))

        sys.addaudithook(hook)

    def changes(self) -> int:
        count = self._changes.stat().st_size
        self._changes.unlink()
        return count


def at_points(scenario: Scenario, folder: Path, random: Random, points: int) -> Iterator[str]:
    """So many changes of a command, drawn at random, with each of the events at each; yields every fault."""
    prepared = folder / "prepared"
    prepared.mkdir(parents=True)
    if scenario.before is not None:
        finish(scenario.before, prepared)
    whole = Path(shutil.copytree(prepared, folder / "whole"))
    process = Point(words_in(scenario, whole), whole)
    out = process.wait(LONGEST)
    assert process.returncode == 0, out
    expected, last = scenario.lasting(whole), process.changes()
    # The last ones are always among them: those of the result.
    numbers = {*range(max(1, last - points // 2), last + 1), *random.sample(range(1, last + 1), min(points // 2, last))}
    for number in sorted(numbers):
        for what in ENDS:
            if fault := _at(scenario, prepared, folder / "place", what, number, expected):
                yield f"{what} at change {number} of {last}: {fault}"


def _at(scenario: Scenario, prepared: Path, place: Path, what: str, number: int, expected: Lasting) -> str:
    shutil.copytree(prepared, place)
    try:
        words = words_in(scenario, place)
        process = Point(words, place, what, number)
        out = process.wait(LONGEST)
        process.changes()
        if process.returncode not in (0, *ENDS[what]) or "Traceback" in out or out.startswith("hang\n"):
            return f"exit code {process.returncode}: {out[-1000:]}"
        finish(words, place)
        found = scenario.lasting(place)
        differ = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        return f"differs in {differ[:5]}" if differ else ""
    except AssertionError as error:
        return f"does not go on: {error}"
    finally:
        shutil.rmtree(place)
