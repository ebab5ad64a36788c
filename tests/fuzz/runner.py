"""Runs a command in a forked child of this process, which has imported PyTorch once for all of them."""

import os
import re
import select
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = ("train", "evaluate", "compare", "analyse")
CODES = (0, 1, 2, 130, 143)
LONGEST_LINE = 2000  # characters of an error
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Outcome:
    """An exit code (None where the time ran out), and what was printed."""

    code: int | None
    out: str
    error: str


@cache
def prepare() -> None:
    """Import and register what the commands do, so that a child starts at once."""
    from bionets.experiment.commands.analyse import METHODS
    from bionets.experiment.config.schemas import register

    register(ROOT / "configs", families=True)
    for module in (*(f"bionets.experiment.commands.{name}" for name in COMMANDS), *METHODS.values()):
        import_module(module)
    import_module("hydra.core.plugins").Plugins.instance()


def run(words: list[str], folder: Path, seconds: float) -> Outcome:
    """The command ``<words[0]>.py <words[1]> ...``, in a folder; killed with all its children when its time is over."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        child = os.fork()
        if child == 0:
            os._exit(run_here(words, folder, out.fileno(), error.fileno()))
        code = _wait(child, seconds)
        texts = []
        for file in (out, error):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return Outcome(code, *texts)


def fault(outcome: Outcome) -> str | None:
    """What is wrong with an outcome; None where nothing is."""
    if outcome.code is None:
        return "hang"
    if outcome.code not in CODES:
        return f"exit code {outcome.code}"
    if "Traceback" in outcome.out + outcome.error:
        return "traceback"
    lines = [line for line in outcome.error.splitlines() if line.startswith("error: ")]
    if outcome.code == 1 and len(lines) != 1:
        return f"{len(lines)} lines of error"
    if any(len(line) > LONGEST_LINE for line in lines):
        return "long error"
    if CONTROL.search(outcome.error):
        return "control character"
    return None


def run_here(words: list[str], folder: Path, out: int, error: int) -> int:
    """The command in this process, a fork, which ends with the code that is returned."""
    os.setsid()
    os.dup2(out, 1)
    os.dup2(error, 2)
    os.chdir(folder)
    sys.argv = [str(ROOT / f"{words[0]}.py"), *words[1:]]
    main = sys.modules["__main__"]
    main.__spec__, main.__file__ = None, sys.argv[0]  # Lightning starts the further processes of ddp by these
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    os.environ["HYDRA_FULL_ERROR"] = "0"
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code: object = 1
    try:
        from bionets.__main__ import run as run_command

        run_command(words[0], ROOT / "configs")
    except SystemExit as stopped:
        code = stopped.code or 0
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code if isinstance(code, int) else 1


def _wait(child: int, seconds: float) -> int | None:
    """Its exit code; negative for a signal."""
    descriptor = os.pidfd_open(child)
    try:
        ended, _, _ = select.select([descriptor], [], [], seconds)
        if not ended:
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        _end_group(child)
        return os.waitstatus_to_exitcode(status) if ended else None
    finally:
        os.close(descriptor)


def _end_group(child: int) -> None:
    """Nothing that a command started outlives it."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            return
        time.sleep(0.01)
