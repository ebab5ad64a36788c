"""The shell commands of a page, and the same at small size."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.grammar import SMALL

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    ((?:python \w+\.py|bionets) .*)$", re.MULTILINE)
FILE = re.compile(r"^```(?:python|yaml)\n# ([\w/]+\.(?:py|yaml))[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
HYDRA = ("train", "evaluate", "compare", "analyse", "runs")
SMALLER: dict[str, object] = {
    **SMALL,
    "task.batch_size": 8,
    "task.epochs_per_length": 1,
    "task.population": 2,
    "task.labels": 3,
    "task.height": 12,
    "task.width": 12,
    "model.hidden_sizes": "[4,4]",
    "hydra.sweeper.n_trials": 2,
    "launcher": "basic",
}

ONE_OF_MANY = {"experiment=cogscale": ("model=lru", "task.problem=adding_problem", "parameters=1000", "seed=0")}
"""The run of a large sweep that is tried."""


@dataclass(frozen=True)
class Command:
    """A command of bionets: its name, and the words after it."""

    page: str
    text: str
    name: str
    words: tuple[str, ...]

    @property
    def needs_an_account(self) -> bool:
        return bool({"wandb=sync", "source=wandb", "report=wandb"} & set(self.words))


def lines_of(page: Path) -> Iterator[str]:
    """Every command of a page, each on one line."""
    text = page.read_text()
    for block in [*BLOCK.findall(text), *INDENTED.findall(text)]:
        for line in block.replace("\\\n", " ").splitlines():
            if shlex.split(line, comments=True):
                yield line


def words_of(line: str) -> list[str]:
    """The words of a line as a shell reads them, without variables in front of the command."""
    words = shlex.split(line, comments=True)
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        del words[0]
    return words


def command_of(page: Path, line: str) -> Command | None:
    """The command of bionets on a line; None where it is another program."""
    words = words_of(line)
    if words[0] == "python" and words[1].removesuffix(".py") in HYDRA:
        return Command(page.name, line, words[1].removesuffix(".py"), tuple(words[2:]))
    if words[0] == "bionets" and len(words) > 1:
        return Command(page.name, line, words[1], tuple(words[2:]))
    return None


def files_of(page: Path) -> dict[str, str]:
    """The files that a page shows: blocks whose first line is a comment with a path."""
    return dict(FILE.findall(page.read_text()))


def alone(words: tuple[str, ...]) -> list[str]:
    """One job of a sweep, for composing: the first of several values, and nothing that only a sweep reads."""
    of_sweeps = r"-m$|sweep=|launcher=|hydra\.(sweeper|launcher)\.|[^=]+=(range|glob|tag|interval|choice|int)\("
    return [first_of(word).replace("<hash>", "0") for word in words if not re.match(of_sweeps, word)]


def first_of(word: str, most: int = 1) -> str:
    """A word with the first of the values that its sweep lists."""
    key, _, value = word.partition("=")
    return word if not value or value[0] in "[{'(" or "(" in value else f"{key}={','.join(value.split(',')[:most])}"


def small(command: Command, config: dict[str, Any]) -> list[str]:
    """The words of ``train`` with everything small that the config has, and with two of the values of a sweep."""
    words = [word for word in command.words if not word.startswith("hydra.launcher.")]  # of another launcher
    words += [one for word in command.words for one in ONE_OF_MANY.get(word, ())]
    given = {word.partition("=")[0]: first_of(word, 2) for word in words}
    has = {*leaves(config), *(key for key in given if key.startswith(("launcher", "hydra")))}
    smaller = {key: f"{key}={value}" for key, value in SMALLER.items() if key in has}
    if config.get("parameters") is not None:  # it chooses the size
        smaller.pop("model.hidden_size", None)
    if "trainer.min_epochs" in given:  # the fewest that there may be
        smaller["trainer.min_epochs"] = "trainer.min_epochs=1"
    return list((given | smaller).values())


def leaves(node: dict[str, Any], path: str = "") -> Iterator[str]:
    """The dotted keys of a config."""
    for key, value in node.items():
        yield f"{path}{key}"
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{key}.")
