"""A command is killed several times at random moments and then completed; its results equal those without a kill."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.soak.processes import Process, left_behind
from tests.soak.scenarios import SCENARIOS, Lasting, Scenario

SIGNALS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
MOST_KILLS = 10  # of one command
LONGEST = 1800  # seconds


class Soak:
    """A scenario, what it leaves without a kill, and how long that takes."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.scenario = name, folder, SCENARIOS[name]
        self.folder.mkdir(parents=True)
        self.prepared = folder / "prepared"
        self.prepared.mkdir()
        if self.scenario.before is not None:
            finish(self.scenario.before, self.prepared)
        whole = self._copy("whole")
        started = time.monotonic()
        finish(words_in(self.scenario, whole), whole)
        self.seconds = time.monotonic() - started
        self.expected: Lasting = self.scenario.lasting(whole)
        assert self.expected

    def killed(self, random: Random) -> Iterator[str]:
        """Kill the command up to so many times; yields after each kill, and every fault as a word on it."""
        place = self._copy(f"killed-{random.randrange(10**9)}")
        words = words_in(self.scenario, place)
        for _ in range(random.randint(1, MOST_KILLS)):
            process = Process(words, place)
            time.sleep(random.uniform(0, self.seconds))
            number = random.choice(list(SIGNALS))
            ended_before = process.poll() is not None
            process.send(number)
            out = process.wait(LONGEST)
            # A signal that comes before the handlers are there, or after they are gone, ends the process by itself.
            if process.returncode not in (0, SIGNALS[number], -number):
                yield f"{self.name}: exit code {process.returncode} after {number.name}: {out[-500:]}"
            elif "Traceback" in out and process.returncode != -number:
                yield f"{self.name}: traceback after {number.name}: {out[-1500:]}"
            if left := left_behind(place):
                yield f"{self.name}: {len(left)} processes left behind by {number.name}"
            yield "" if not ended_before else "ended before"
            if ended_before:
                break
        try:
            finish(words, place)
            found = self.scenario.lasting(place)
            differ = [key for key in self.expected.keys() | found.keys() if self.expected.get(key) != found.get(key)]
            if differ:
                yield f"{self.name}: differs in {sorted(differ)[:5]}, kept in {place}"
                return
        except AssertionError as error:
            yield f"{self.name}: {error}, kept in {place}"
            return
        shutil.rmtree(place)

    def _copy(self, name: str) -> Path:
        return Path(shutil.copytree(self.prepared, self.folder / name))


def words_in(scenario: Scenario, folder: Path) -> list[str]:
    """The command, with the run that is there in place of RUN."""
    run = next((str(file.parent.relative_to(folder)) for file in folder.rglob("config.yaml")), "")
    return [word.replace("RUN", run) for word in scenario.words]


def finish(words: list[str], folder: Path) -> None:
    process = Process(words, folder)
    out = process.wait(LONGEST)
    assert process.returncode == 0, f"exit code {process.returncode}: {out[-1500:]}"
