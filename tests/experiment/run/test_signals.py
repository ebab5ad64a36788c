"""The processes of ddp end with the one that an interrupt ends."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

from bionets.experiment.run.signals import EndProcesses


def test_an_exception_ends_the_other_processes_and_takes_them_off_the_list_that_lightning_watches() -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    watched = [other]
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=SimpleNamespace(procs=watched)))
    EndProcesses().on_exception(cast(Any, trainer), cast(Any, None), KeyboardInterrupt())
    assert other.poll() is not None and watched == []


def test_a_run_in_one_process_has_nobody_to_end() -> None:
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=None))
    EndProcesses().on_exception(cast(Any, trainer), cast(Any, None), KeyboardInterrupt())
