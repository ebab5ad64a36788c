"""Lightning's CSV file ``csv/metrics.csv``, with a row for each epoch and a column for each metric."""

import csv
import heapq
from pathlib import Path
from typing import Any

from bionets.experiment.errors import UserError
from bionets.experiment.logging.mirrors import Mirror, MirroredRun, summaries
from bionets.experiment.run.metrics_file import COUNT, MOST_BYTES, keep_epochs_before
from bionets.experiment.run.safe_read import RESTORE, read_bytes


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
        self.logged, steps = run.completed
        if self.logged:  # Lightning starts a new file when a run is resumed
            keep_epochs_before(folder.metrics_file, self.logged)
            others = rows_of_callbacks(folder.path / "csv" / "metrics.csv", steps)
            epochs = summaries(folder.metrics_file, range(self.logged))
            for values, step in heapq.merge(others, epochs, key=lambda row: row[1]):
                self.logger.log_metrics(values, step)


def rows_of_callbacks(file: Path, end: int) -> list[tuple[dict[str, Any], int]]:
    """The values and steps of the rows before a step that other callbacks logged, such as ``LearningRateMonitor``."""
    if not file.exists():
        return []
    try:
        rows = list(csv.DictReader(read_bytes(file, MOST_BYTES).decode().splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} is not a table: {RESTORE}") from error
    steps = [int(row["step"]) if COUNT.fullmatch(row.get("step") or "") else end for row in rows]
    values = [{name: value for name, value in row.items() if name and value and name != "step"} for row in rows]
    return [pair for pair in zip(values, steps, strict=True) if pair[1] < end and "epoch" not in pair[0]]
