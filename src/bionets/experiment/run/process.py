"""The processes of jobs, which end together with the process that launched them."""

import json
import os
import select
import signal
import socket
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

LAUNCHER_VARIABLE = "BIONETS_LAUNCHER"  # environment variable with the process that starts those of ddp
JOB_VARIABLE = "BIONETS_JOB"  # environment variable with the name of a job that shares its terminal
SECONDS_BETWEEN_CHECKS = 1.0  # if the system cannot wait for a process that is not a child


@dataclass(frozen=True)
class Process:
    """A process on a machine. Process ids are reused, so the identity includes the time of the start."""

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
        """The process that started this one for ddp. If it has ended, this process has another parent."""
        named = os.environ.get(LAUNCHER_VARIABLE)
        return cls(**json.loads(named)) if named else cls.parent()

    def name_as_launcher(self) -> None:
        """Store this process in the environment, for `launcher` in the processes of ddp that it starts."""
        os.environ[LAUNCHER_VARIABLE] = json.dumps(asdict(self))

    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # of another user, so the id has been reused
            return False
        return _start_time(self.pid) == self.started


_ends_with: set[Process] = set()


def end_with(process: Process) -> None:
    """Kill the current process as soon as ``process`` has ended.

    A thread waits for the end, so that a process that waits for work, or is blocked on a pipe, is killed too. A killed
    run loses only the current epoch. Does nothing for the current process itself and for a process on another machine.
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
    """The host name and the id of the boot, which differs between machines of the same name and after a restart."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()} {boot.read_text().strip() if boot.exists() else ''}"


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the third on; empty if it does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _start_time(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[19] if fields else None


def _is_zombie(pid: int) -> bool:
    return _stat(pid)[:1] == ["Z"]
