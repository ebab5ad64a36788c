"""A process ends with the one that launched it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bionets.experiment.run.process import Process, end_with

# Launches a worker, says its number, and waits. The worker is blocked on a pipe that nobody writes to.
LAUNCH = """
import os, subprocess, sys, time
from bionets.experiment.run.process import Process
reader, writer = os.pipe()
code = "import os, sys; from bionets.experiment.run.process import Process, end_with;"
code += f"end_with({Process.current()!r}); print(os.getpid(), flush=True); os.read({reader}, 1)"
worker = subprocess.Popen([sys.executable, "-c", code], pass_fds=[reader, writer], start_new_session=True)
time.sleep(1000)
"""


def alive(pid: int) -> bool:
    return Process("", pid, None).alive() or os.path.exists(f"/proc/{pid}")  # noqa: PTH110


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="reads /proc")  # noqa: PTH112
def test_a_worker_that_is_blocked_ends_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", LAUNCH], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert alive(worker)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 60
    while alive(worker):
        assert time.monotonic() < end, "the worker outlived its parent"
        time.sleep(0.05)


def test_a_worker_of_a_parent_that_is_gone_already_ends() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    code = "import time; from bionets.experiment.run.process import Process, end_with;"
    code += f"here = Process.current(); end_with(Process(here.host, {gone.pid}, '1')); time.sleep(300)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == -signal.SIGKILL


def test_nothing_ends_with_itself_or_with_a_process_elsewhere() -> None:
    here = Process.current()
    assert here.alive()
    end_with(here)
    end_with(Process("another machine", 1, None))
    assert not Process(here.host, here.pid, "another start").alive()
