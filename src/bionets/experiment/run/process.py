"""The processes of jobs, which end together with the process that launched them."""

import json
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

LAUNCHER_VARIABLE = "BIONETS_LAUNCHER"  # environment variable with the process that starts those of ddp
JOB_VARIABLE = "BIONETS_JOB"  # environment variable with the name of a job that shares its terminal
SECONDS_BETWEEN_CHECKS = 0.5
CORRECTION = 2.0  # seconds by which a start may seem to change if the clock is corrected


@dataclass(frozen=True)
class Process:
    """A process on a machine. Process ids are reused, so the identity includes the time of the start in seconds, see
    `_started`."""

    host: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> "Process":
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process with this id on this machine, which may have ended."""
        try:
            return cls(_host(), pid, _started(psutil.Process(pid)))
        except psutil.NoSuchProcess:
            return cls(_host(), pid, 0.0)

    @classmethod
    def launcher(cls) -> "Process":
        """The process that started this one for ddp. If it has ended, this process has another parent."""
        named = os.environ.get(LAUNCHER_VARIABLE)
        return cls(**json.loads(named)) if named else cls.of(os.getppid())

    def name_as_launcher(self) -> None:
        """Store this process in the environment, for `launcher` in the processes of ddp that it starts."""
        os.environ[LAUNCHER_VARIABLE] = json.dumps(asdict(self))

    def wait(self) -> None:
        """Wait for the end of this process, not for that of its entry as a zombie like ``psutil.Process.wait``."""
        try:
            process = psutil.Process(self.pid)
            if abs(_started(process) - self.started) < CORRECTION:
                while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    time.sleep(SECONDS_BETWEEN_CHECKS)
        except psutil.NoSuchProcess:
            return


_ends_with: set[Process] = set()


def end_with(process: Process) -> None:
    """Kill the current process as soon as ``process`` has ended.

    A thread waits for the end, so that a process that waits for work, or is blocked on a pipe, is killed too. A killed
    run loses only the current epoch. Does nothing for the current process itself, for a process on another machine, and
    for one outside the container of this process, whose id is 0.
    """
    if process in _ends_with or process.host != _host() or process.pid in (os.getpid(), 0):
        return
    _ends_with.add(process)
    threading.Thread(target=_kill_after, args=(process,), name="end-with-parent", daemon=True).start()


def _kill_after(process: Process) -> None:
    process.wait()
    psutil.Process().kill()


def _started(process: psutil.Process) -> float:
    """The time of the start: on Linux since the boot, which a change of the clock does not alter."""
    return float(process.create_time() - (psutil.boot_time() if psutil.LINUX else 0))


def _host() -> str:
    """The host name and the id of the boot, which differs between machines of the same name and after a restart."""
    boot = Path("/proc/sys/kernel/random/boot_id")  # on Linux
    return f"{socket.gethostname()} {boot.read_text(encoding='ascii').strip() if boot.exists() else ''}"
