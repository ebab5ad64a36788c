"""One random command at a time, and what is kept of those that end in disorder."""

import json
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz import grammar, runner

SEEDS = Path(__file__).parent / "seeds"
PLACE = "RUNS"  # stands for the folder of the runs in a kept command


@dataclass(frozen=True)
class Failure:
    """A command that ended in disorder."""

    seed: int
    words: list[str]
    runs: list[Path]
    why: str
    outcome: runner.Outcome

    def keep(self) -> Path:
        """Write it where the quick tests find it."""
        SEEDS.mkdir(exist_ok=True)
        file = SEEDS / f"{self.seed}.json"
        words = [word.replace(str(self.runs[0].parent), PLACE) for word in self.words]
        file.write_text(json.dumps({"seed": self.seed, "why": self.why, "words": words}, indent=2) + "\n")
        return file

    def shown(self) -> str:
        return f"  {shlex.join(self.words)}\n  {self.outcome.error.strip()[-600:]}"


def make_runs(folder: Path) -> list[Path]:
    """A trained run for the commands that read one, and the folder above it."""
    runner.prepare()
    words = ["train", "model=gru", "task=binary_addition", f"paths.output_dir={folder / 'runs'}"]
    keys = grammar.keys_of("gru", "binary_addition")
    words += [f"{key}={value}" for key, value in grammar.SMALL.items() if key in keys]
    outcome = runner.run(words, folder, seconds=300)
    assert outcome.code == 0, outcome.error
    (config,) = folder.rglob("config.yaml")
    return [folder / "runs", config.parent]


def try_one(seed: int, runs: list[Path], seconds: float) -> Failure | None:
    """The command of a seed, in an empty folder."""
    return try_words(seed, grammar.command(Random(seed), runs), runs, seconds)


def try_kept(file: Path, runs: list[Path], seconds: float) -> Failure | None:
    kept = json.loads(file.read_text())
    words = [word.replace(PLACE, str(runs[0].parent)) for word in kept["words"]]
    return try_words(kept["seed"], words, runs, seconds)


def try_words(seed: int, words: list[str], runs: list[Path], seconds: float) -> Failure | None:
    with tempfile.TemporaryDirectory() as folder:
        outcome = runner.run(words, Path(folder), seconds)
    why = runner.fault(outcome)
    return None if why is None else Failure(seed, words, runs, why, outcome)
