"""A command in a process of its own, and the processes that work in a folder."""

import atexit
import os
import resource
import signal
import tempfile
import time
from pathlib import Path

from tests.fuzz.runner import prepare, run_here


class Process:
    """``python <words[0]>.py <words[1]> ...`` in a folder, in a fork of this process, which has imported what commands
    import once for all of them: most of a command's time would be imports otherwise."""

    def __init__(self, words: list[str], folder: Path, largest_file: int | None = None) -> None:
        prepare()
        self.returncode: int | None = None
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 (wait closes it)
        self.pid = os.fork()
        if self.pid == 0:
            code = 130  # of an interrupt before the command begins
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                if largest_file is not None:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
                self.begin()
                atexit._clear()  # what this process has registered is not the command's
                code = run_here(words, folder, self._out.fileno(), self._out.fileno())
                atexit._run_exitfuncs()
            finally:
                os._exit(code)

    def begin(self) -> None:
        """For a subclass: called in the new process before the command."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def send(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> str:
        """What it has printed, once it has ended; it is killed when the time is over."""
        end = time.monotonic() + seconds
        hangs = False
        while self.poll() is None:
            time.sleep(0.01)
            if not hangs and time.monotonic() > end:
                hangs = True
                os.kill(self.pid, signal.SIGKILL)
        with self._out as out:
            out.seek(0)
            text = out.read().decode(errors="replace")
        return f"hang\n{text}" if hangs else text


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
    """The processes that still work in a folder after this time, which are then ended; none once all have ended."""
    end = time.monotonic() + seconds
    while (left := processes_in(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left
