"""A command in a process of its own, and whoever works in a folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.fuzz.runner import ROOT


def start(words: list[str], folder: Path, **options: Any) -> "subprocess.Popen[str]":
    """``python <words[0]>.py <words[1]> ...`` in a folder, on one thread, hearing Ctrl-C."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    return subprocess.Popen(
        [sys.executable, str(ROOT / f"{words[0]}.py"), *words[1:]],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def processes_in(folder: Path) -> list[int]:
    """Every other process that works in a folder or below it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").resolve(strict=True).is_relative_to(folder.resolve()):
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def left_behind(folder: Path, seconds: float = 60.0) -> list[int]:
    """Who still works in a folder after this time; none as soon as nobody does. They are ended then."""
    end = time.monotonic() + seconds
    while (left := processes_in(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left
