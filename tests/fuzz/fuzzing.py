"""One random command at a time, and what is kept of those that end in disorder."""

import json
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from tests.fuzz import grammar, runner
from tests.fuzz.damage import Damage, damages

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
    outcome = runner.run(train_words(folder), folder, seconds=300)
    assert outcome.code == 0, outcome.error
    (config,) = folder.rglob("config.yaml")
    return [folder / "runs", config.parent]


def train_words(folder: Path) -> list[str]:
    """The command that trains the run in this folder, below ``runs``."""
    keys = grammar.keys_of("gru", "binary_addition")
    small = [f"{key}={value}" for key, value in grammar.SMALL.items() if key in keys]
    return ["train", "model=gru", "task=binary_addition", f"paths.output_dir={folder / 'runs'}", *small]


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


@cache
def damages_of(run: Path) -> list[tuple[str, Damage]]:
    """Every damage to every file of a run, after the file's name."""
    files = [file for file in sorted(run.rglob("*")) if file.is_file() and file.name != ".lock"]
    return [(str(file.relative_to(run)), damage) for file in files for damage in damages(file)]


def try_damage(seed: int, runs: list[Path], seconds: float) -> Failure | None:
    """A command that reads the run after one of its files was damaged."""
    random, (root, run) = Random(seed), runs
    name, (kind, content) = random.choice(damages_of(run))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(root, Path(folder) / "runs")) / run.relative_to(root)
        (copy / name).write_bytes(content)
        words = random.choice(
            [
                ["evaluate", f"run={copy}"],
                ["compare", f"runs={copy.parent}"],
                ["analyse", f"run={copy}", "method=dynamics"],
                train_words(Path(folder)),
            ]
        )
        if words[0] == "train" and name != "result.json":
            (copy / "result.json").unlink()  # as if it had been stopped, so that its files are read
        outcome = runner.run(words, Path(folder), seconds)
    why = runner.fault(outcome)
    return None if why is None else Failure(seed, words, runs, f"{why} after {name} was damaged: {kind}", outcome)
