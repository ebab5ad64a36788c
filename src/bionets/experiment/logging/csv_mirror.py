"""Lightning's CSV file ``csv/metrics.csv``, with a row for each epoch and a column for each metric."""

from typing import Any

from bionets.experiment.errors import UserError
from bionets.experiment.logging.mirrors import Mirror, MirroredRun, log_epochs
from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.metrics_file import keep_epochs_before


class CsvMirror(Mirror):
    """Writes the metrics of every epoch as a table; the run's ``metrics.csv`` holds each value by itself.

    Args:
        run: the run.
        flush_logs_every_n_steps: the file is written at the end of the run, and after each epoch whose last step,
            counted from 1, is a multiple of this number.
    """

    @classmethod
    def check(cls, flush_logs_every_n_steps: int = 1, **others: Any) -> None:
        if flush_logs_every_n_steps < 1:
            raise UserError(f"logger.csv.flush_logs_every_n_steps must be at least 1, got {flush_logs_every_n_steps}")

    def __init__(self, run: MirroredRun, flush_logs_every_n_steps: int = 1) -> None:
        from lightning.pytorch.loggers import CSVLogger

        folder = run.folder
        self.logger = CSVLogger(folder.path, name="", version="csv", flush_logs_every_n_steps=flush_logs_every_n_steps)
        if folder.last.exists():  # Lightning starts a new file when a run is resumed
            self.logged = read_checkpoint(folder.last)["epoch"] + 1
            keep_epochs_before(folder.metrics_file, self.logged)
            log_epochs(self.logger, folder.metrics_file, range(self.logged))
