"""The folder of a reader who has followed the documentation: data, runs, and the files that the pages show."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from bionets.experiment.commands.new import write_project
from bionets.tasks.speech_digits import SPEAKERS
from tests.documentation.commands import HYDRA, ROOT, Command, alone, command_of, files_of, lines_of, small, words_of
from tests.fuzz import runner
from tests.tasks import event_recordings, heidelberg_archive, idx_files, spoken_digits, time_series_files

SECONDS = 300
OWN = {"leaky": ["model=recurrent", "model.layer=my_cells.LeakyTanh", "model.name=leaky"]}
OWN_DATA = {"custom": ["task.data=my_data.npz"]}
OTHERS = {"cd", "source", "git", "pip", "make", "pytest", "bash", "wandb", "tensorboard", "rsync", "ssh", "eval"}
"""Programs of other people; ``cd`` is followed."""


class Place:
    """A folder in which the commands of a page run, one after another."""

    def __init__(self, folder: Path, data: Path, page: Path) -> None:
        self.page, self.folder, self.root = page, folder, folder
        os.environ["BIONETS_DATA"] = str(data)
        for source in [ROOT / "docs" / "own_cell.md", ROOT / "docs" / "own_task.md", page]:
            for name, content in files_of(source).items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(content)
        write_own_data(folder)

    def faults(self, whole: bool) -> list[str]:
        """What is wrong with each command of the page; with ``whole``, they are run, else composed."""
        found = []
        for line in lines_of(self.page):
            command = command_of(self.page, line)
            fault = self.other(words_of(line)) if command is None else self.run(command, whole)
            print(f"{'failed' if fault else 'passed'} {self.page.name}: {line}", flush=True)
            if fault:
                found.append(f"{self.page.name}: {line}\n  {fault}")
        return found

    def other(self, words: list[str]) -> str | None:
        """Follow ``cd``; of other programs, only that they are expected here."""
        if words[0] == "cd" and (self.folder / words[1]).is_dir():
            self.folder = self.folder / words[1]
        if words[0] == "python" and (self.folder / words[1]).is_file():  # a script that the page shows
            return self.script(words[1:])
        known = words[0] in OTHERS or words[:2] == ["python", "-m"]
        return None if known else f"{words[0]} is no program that the documentation may name"

    def script(self, words: list[str]) -> str | None:
        done = subprocess.run([sys.executable, *words], cwd=self.folder, capture_output=True, text=True)
        return done.stderr if done.returncode else None

    def run(self, command: Command, whole: bool) -> str | None:
        if command.name == "new":
            write_project(self.folder / command.words[0])
            return None
        if command.name not in HYDRA:
            return f"there is no command {command.name}"
        if "--help" in command.words:
            return fault_of(self.started(command.name, list(command.words)))
        composed = self.started(command.name, [*alone(command.words), "--cfg=job"])
        if composed.code != 0 or not whole or command.needs_an_account:
            return fault_of(composed)
        if command.name == "train":
            return fault_of(self.started("train", small(command, yaml.safe_load(composed.out))))
        return fault_of(self.started(command.name, [self.with_run(word) for word in command.words]))

    def with_run(self, word: str) -> str:
        """A word whose ``<hash>`` is that of the newest run here; runs that are not there yet are trained."""
        task = word.removeprefix("runs=outputs/")
        if task != word and task.isidentifier() and not (self.folder / "outputs" / task).exists():
            self.run(Command(self.page.name, "", "train", ("model=nbrc", f"task={task}")), whole=True)
        if "<hash>" not in word:
            return word
        pattern = word.partition("=")[2].replace("<hash>", "*")
        if not list(self.folder.glob(pattern)):
            _, task, model, *_ = Path(pattern).parts
            words = (*OWN.get(model, [f"model={model}"]), f"task={task}", *OWN_DATA.get(task, []))
            command = Command(self.page.name, "", "train", words)
            self.run(command, whole=True)
        newest = max(self.folder.glob(pattern), key=lambda folder: folder.stat().st_mtime)
        return f"{word.partition('=')[0]}={newest}"

    def started(self, name: str, words: list[str]) -> runner.Outcome:
        return runner.run([name, *words], self.folder, SECONDS)


def fault_of(outcome: runner.Outcome) -> str | None:
    """An error is a fault here: what the documentation shows must work."""
    if outcome.code == 0 and "Traceback" not in outcome.error:
        return None
    return f"exit code {outcome.code}: {outcome.error.strip()[-1500:]}"


def write_data(folder: Path) -> None:
    """Small files of the data sets, as published."""
    for name in ("mnist", "fashion_mnist", "cifar10"):
        idx_files.write(folder, name)
    event_recordings.write(folder)
    heidelberg_archive.write(folder, "shd", 100)
    time_series_files.write(folder, "JapaneseVowels")
    time_series_files.write(folder, "PLAID", channels=1)
    spoken_digits.write(folder, SPEAKERS, range(10), (0, 5, 6))  # index 0 is for the test


def write_own_data(folder: Path) -> None:
    """The reader's own data, as docs/own_task.md describes them."""
    random = np.random.default_rng(0)
    targets = {"y": random.integers(0, 2, 40), "kind": random.integers(0, 3, 40), "speed": random.normal(size=(40, 2))}
    np.savez(folder / "my_data.npz", x=random.normal(size=(40, 6, 3)).astype("float32"), **targets)
    numbers = random.normal(size=(40, 5, 2)).round(3)
    phases = ["rise", "rise", "hold", "fall", "fall"]
    rows = [f"{n},{a},{b},{n % 2},{phases[t]}" for n in range(40) for t, (a, b) in enumerate(numbers[n])]
    (folder / "table.csv").write_text("\n".join(["id,a,b,label,phase", *rows]) + "\n")
    for n in range(40):
        file = folder / "my_images" / f"class_{n % 2}" / f"{n}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (12, 12), dtype="uint8")).save(file)
    event_recordings.write_own(folder / "my_recordings")
    (folder / "my_data.py").write_text(
        "import torch\n\n\nclass MyDataset(torch.utils.data.Dataset):\n"
        "    def __len__(self):\n        return 40\n\n"
        "    def __getitem__(self, n):\n        return torch.full((6, 3), float(n)), n % 2\n"
    )
