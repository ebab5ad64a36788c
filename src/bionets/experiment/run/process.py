"""The process of a job: it ends once the process that launched it is gone, and may share its terminal with others."""

import json
import os
import select
import signal
import socket
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

LAUNCHER_VARIABLE = "BIONETS_LAUNCHER"  # the process that starts those of ddp, in their environment
JOB_VARIABLE = "BIONETS_JOB"  # what a job that shares its terminal with others is called, in the environment
SECONDS_BETWEEN_CHECKS = 1.0  # where the system cannot wait for a process that is not a child


@dataclass(frozen=True)
class Process:
    """A process on a machine. A process id is used again, so the time of its start belongs to its identity."""

    host: str
    pid: int
    started: str | None

    @classmethod
    def current(cls) -> "Process":
        return cls(_host(), os.getpid(), _start_time(os.getpid()))

    @classmethod
    def parent(cls) -> "Process":
        """The process that started this one."""
        return cls(_host(), os.getppid(), _start_time(os.getppid()))

    @classmethod
    def launcher(cls) -> "Process":
        """The process of ddp that started this one, which may be gone by now: it has another parent then."""
        named = os.environ.get(LAUNCHER_VARIABLE)
        return cls(**json.loads(named)) if named else cls.parent()

    def name_as_launcher(self) -> None:
        """Say in the environment, for `launcher` in the processes of ddp, that this one starts them."""
        os.environ[LAUNCHER_VARIABLE] = json.dumps(asdict(self))

    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # of another user, so another process has the number by now
            return False
        return _start_time(self.pid) == self.started


_ends_with: set[Process] = set()


def end_with(process: Process) -> None:
    """Kill the current process as soon as ``process`` has ended.

    A thread waits for that, so it also ends a process that waits for work, or is blocked on a pipe that nobody reads.
    A killed run loses nothing but the epoch under way. Does nothing for the current process itself and for a process on
    another machine.
    """
    if process in _ends_with or process.host != _host() or process.pid == os.getpid():
        return
    _ends_with.add(process)
    threading.Thread(target=_kill_after, args=(process,), name="end-with-parent", daemon=True).start()


def _kill_after(process: Process) -> None:
    try:
        descriptor = os.pidfd_open(process.pid)  # Linux 5.3
    except (AttributeError, OSError):
        descriptor = None
    if descriptor is not None and process.alive():
        select.select([descriptor], [], [])
    while process.alive() and not _is_zombie(process.pid):
        time.sleep(SECONDS_BETWEEN_CHECKS)
    os.kill(os.getpid(), signal.SIGKILL)


def _host() -> str:
    """The machine, told apart from another of the same name, and from itself before it was started anew."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()} {boot.read_text().strip() if boot.exists() else ''}"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third on; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _start_time(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[19] if fields else None


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] == ["Z"]
