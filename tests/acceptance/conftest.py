"""Whole commands, as a user types them: in this process where that will do, in another where a signal is sent."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from bionets.__main__ import run as run_command
from bionets.experiment.run.run_folder import RunFolder

ROOT = Path(__file__).parents[2]

# A run of about a second that still has several epochs, two layers and dropout.
SMALL = (
    "model=brc",
    "model.hidden_size=6",
    "model.num_layers=2",
    "model.dropout=0.3",
    "task=binary_addition",
    "task.length=5",
    "task.epochs_per_length=2",
    "task.train_size=400",
    "task.val_size=100",
    "task.test_size=50",
    "task.test_length=6",
    "callbacks=quiet",
    "logger=none",
)


@dataclass(frozen=True)
class Outcome:
    """What a command left on the terminal, and its exit code."""

    code: int
    out: str
    error: str


Command = Callable[..., Outcome]


def last_of_each(words: Sequence[str]) -> list[str]:
    """Of several words for one key the last, so that a test can say ``*SMALL, "model=gru"``: a command line that has
    both is an error.
    """
    kept: dict[str, str] = {}
    for word in words:
        kept[word if word.startswith("-") else word.partition("=")[0].lstrip("+~")] = word
    return list(kept.values())


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with no W&B account."""
    monkeypatch.chdir(tmp_path)
    for variable in ("WANDB_API_KEY", "WANDB_MODE", "HYDRA_FULL_ERROR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    return tmp_path


@pytest.fixture
def cli(workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """``cli("train", "model=brc", ...)``: an entry point in this process."""

    def run(name: str, *arguments: str) -> Outcome:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "path", [*sys.path])  # a command adds the working directory to both
        monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        monkeypatch.setenv("BIONETS_CONFIGS_HERE", "")
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *last_of_each(arguments)])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        capfd.readouterr()
        try:
            run_command(name, configs=ROOT / "configs")
        except SystemExit as stopped:
            code = stopped.code
        for handler in [handler for handler in logging.root.handlers if type(handler) is logging.StreamHandler]:
            logging.root.removeHandler(handler)  # Hydra's, bound to this test's stdout
        captured = capfd.readouterr()
        return Outcome(int(code or 0), captured.out, captured.err)

    return run


def start(name: str, *arguments: str, **options: object) -> "subprocess.Popen[str]":
    """An entry point in a process of its own, which hears Ctrl-C even where the tests themselves do not."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    return subprocess.Popen(
        [sys.executable, str(ROOT / f"{name}.py"), *last_of_each(arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        **options,  # type: ignore[call-overload]
    )


def the_run(folder: Path) -> RunFolder:
    """The only run in or below a folder."""
    (config,) = folder.rglob("config.yaml")
    return RunFolder(config.parent)
