"""A process ends when the process that launched it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from bionets.experiment.run.process import LAUNCHER_VARIABLE, Process, end_with

ROOT = Path(__file__).parents[3]

# Launches a worker, prints its process id, and waits. The worker is blocked on a pipe that nobody writes to.
LAUNCH = """
import os, subprocess, sys, time
from bionets.experiment.run.process import Process
reader, writer = os.pipe()
code = "import os, sys; from bionets.experiment.run.process import Process, end_with;"
code += f"end_with({Process.current()!r}); print(os.getpid(), flush=True); os.read({reader}, 1)"
worker = subprocess.Popen([sys.executable, "-c", code], pass_fds=[reader, writer], start_new_session=True)
time.sleep(1000)
"""


def test_a_blocked_worker_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", LAUNCH], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert psutil.pid_exists(worker)
    parent.kill()
    parent.wait()
    end = time.monotonic() + 60
    while psutil.pid_exists(worker):
        assert time.monotonic() < end, "the worker outlived its parent"
        time.sleep(0.05)


def test_a_worker_ends_if_its_parent_has_already_ended() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    code = "import time; from bionets.experiment.run.process import Process, end_with;"
    code += f"here = Process.current(); end_with(Process(here.host, {gone.pid}, 1.0)); time.sleep(300)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == -signal.SIGKILL


def test_a_ddp_process_ends_if_its_launcher_has_already_ended() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    named = json.dumps({**asdict(Process.current()), "pid": gone.pid, "started": 1.0})
    environment = {**os.environ, "LOCAL_RANK": "1", LAUNCHER_VARIABLE: named}
    command = [sys.executable, "train.py", "model=gru", "logger=none"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, timeout=300, capture_output=True)
    assert ended.returncode == -signal.SIGKILL


def test_the_launcher_is_the_parent_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LAUNCHER_VARIABLE, raising=False)
    assert Process.launcher() == Process.of(os.getppid())
    monkeypatch.setenv(LAUNCHER_VARIABLE, "")  # put back after the test
    Process.current().name_as_launcher()
    assert Process.launcher() == Process.current()


def test_a_process_does_not_end_with_itself_or_with_one_on_another_machine_or_outside_its_container() -> None:
    here = Process.current()
    end_with(here)
    end_with(Process("another machine", 1, 1.0))
    end_with(Process(here.host, 0, 0.0))


def test_waiting_for_a_process_ends_at_its_end_and_for_a_reused_id_at_once() -> None:
    sleeping = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Process.of(sleeping.pid)
    replace(process, started=process.started - 3600).wait()  # an earlier process with the same id
    waiting = threading.Thread(target=process.wait)
    waiting.start()
    assert waiting.is_alive()
    assert sleeping.stdin is not None
    sleeping.stdin.close()
    waiting.join(60)
    assert not waiting.is_alive()  # although the process is still a zombie
    sleeping.wait()
