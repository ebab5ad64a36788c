"""Lightning's own CSV file, ``csv/metrics.csv``: a row an epoch, a column a metric."""

from bionets.experiment.logging.mirrors import Mirror, MirroredRun, log_epochs
from bionets.experiment.run.checkpoints import read_checkpoint
from bionets.experiment.run.metrics_file import keep_epochs_before


class CsvMirror(Mirror):
    """A run's metrics of every epoch as a table; each value by itself is in the run's own ``metrics.csv``.

    Args:
        run: the run.
        flush_logs_every_n_steps: epochs after which the file is written.
    """

    def __init__(self, run: MirroredRun, flush_logs_every_n_steps: int = 1) -> None:
        from lightning.pytorch.loggers import CSVLogger

        folder = run.folder
        self.logger = CSVLogger(folder.path, name="", version="csv", flush_logs_every_n_steps=flush_logs_every_n_steps)
        if folder.last.exists():  # Lightning begins the file anew where a run goes on
            keep_epochs_before(folder.metrics_file, read_checkpoint(folder.last)["epoch"] + 1)
            log_epochs(self.logger, folder.metrics_file)
