"""Interrupts while Lightning trains: the command's own handler of SIGTERM, and the end of the processes of ddp."""

import signal
import subprocess
from typing import Any

from lightning import Callback, LightningModule, Trainer

from bionets.experiment.interrupts import raise_terminated


class KeepSigtermHandler(Callback):
    """Puts the handler that was there when the trainer was built back in place of Lightning's.

    Lightning's broadcasts to the other processes from within the handler, which blocks where one of them is in another
    collective operation. It also has the previous handler called, so one process would be interrupted twice.
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
    """Ends the other processes of ddp when an interrupt or an error ends this one, and takes them off Lightning's list.

    A thread of Lightning looks at that list every five seconds and kills this process where one of them has not ended
    with exit code 0, perhaps while it still writes what has become of the run. ``procs`` of the launcher is not
    documented, so a later version of Lightning may name it differently; the processes then end after this one.
    """

    def on_exception(self, trainer: Trainer, model: LightningModule, exception: BaseException) -> None:
        processes: list[subprocess.Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
        ended = list(processes)
        processes.clear()  # first, since the thread may look at any moment
        for process in ended:
            process.kill()
        for process in ended:
            process.wait()
