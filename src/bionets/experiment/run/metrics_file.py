"""``metrics.csv``: everything measured during training, one row a value."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from bionets.experiment.run.run_folder import write_atomically

COLUMNS = ("step", "epoch", "name", "value")
Series = dict[str, tuple[list[int], list[float]]]
"""name -> (steps, values)"""


def append(file: Path, rows: list[tuple[int, int, str, float]]) -> None:
    """Add rows to a metrics file, with its header where the file is new."""
    new = not file.exists()
    with file.open("a", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        writer.writerows(rows)
        opened.flush()
        os.fsync(opened.fileno())


def keep_epochs_before(file: Path, epoch: int) -> None:
    """Cut a metrics file back to the epochs before this one; a half-written last line goes too."""
    if not file.exists():
        return
    header, *lines = file.read_text().splitlines(keepends=True) or [""]
    whole = [line for line in lines if line.endswith("\n") and line.count(",") == len(COLUMNS) - 1]
    kept = [line for line in whole if int(line.split(",")[1]) < epoch]
    if kept:
        write_atomically(file, "".join([header, *kept]))
    else:
        file.unlink()


def read_rows(file: Path) -> Iterator[tuple[int, int, str, float]]:
    """Step, epoch, name and value of each row; none where there is no file."""
    if file.exists():
        with file.open(newline="") as opened:
            for row in csv.DictReader(opened):
                yield int(row["step"]), int(row["epoch"]), row["name"], float(row["value"])


def read_metrics(file: Path) -> Series:
    """A metrics file, read whole."""
    series: Series = {}
    for step, _, name, value in read_rows(file):
        steps, values = series.setdefault(name, ([], []))
        steps.append(step)
        values.append(value)
    return series
