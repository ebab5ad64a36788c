"""The command's own handler of SIGTERM, kept while Lightning trains."""

import signal
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
