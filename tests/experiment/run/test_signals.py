"""An interrupt of one process ends the other processes of ddp."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

from bionets.experiment.run.signals import EndProcesses


def test_an_exception_ends_the_other_processes_and_removes_them_from_the_launcher() -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    watched = [other]
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=SimpleNamespace(procs=watched)))
    EndProcesses().on_exception(cast(Any, trainer), cast(Any, None), KeyboardInterrupt())
    assert other.poll() is not None and watched == []


def test_an_exception_in_a_run_of_one_process_is_ignored() -> None:
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=None))
    EndProcesses().on_exception(cast(Any, trainer), cast(Any, None), KeyboardInterrupt())
