"""Callbacks for interrupts during training: the handler of SIGTERM, and the end of the processes of ddp."""

import signal
import subprocess
from typing import Any

from lightning import Callback, LightningModule, Trainer

from bionets.experiment.interrupts import raise_terminated


class KeepSigtermHandler(Callback):
    """Restores the handler of SIGTERM that Lightning has replaced.

    Lightning's handler broadcasts to the other processes, which blocks if one of them is in another collective
    operation. It also calls the previous handler, so that one process would be interrupted twice.
    """

    def __init__(self) -> None:
        self.handler: Any = signal.getsignal(signal.SIGTERM)

    # Lightning registers its handlers after `setup` and `on_fit_start`.
    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        self._put_back()

    def on_test_start(self, trainer: Trainer, model: LightningModule) -> None:
        self._put_back()

    def _put_back(self) -> None:
        if self.handler is raise_terminated:
            signal.signal(signal.SIGTERM, raise_terminated)


class EndProcesses(Callback):
    """Ends the other ddp processes when an interrupt or an error ends this one, and removes them from Lightning's list.

    A thread of Lightning checks that list every five seconds, and kills this process if one of them has ended with an
    exit code other than 0, perhaps while this process is still writing its result. ``procs`` of the launcher is not
    documented; if a later version of Lightning renames it, the processes end after this one.
    """

    def on_exception(self, trainer: Trainer, model: LightningModule, exception: BaseException) -> None:
        processes: list[subprocess.Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
        ended = list(processes)
        processes.clear()  # first, since the thread may check it at any time
        for process in ended:
            process.kill()
        for process in ended:
            process.wait()
