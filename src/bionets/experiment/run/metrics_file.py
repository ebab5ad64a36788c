"""``metrics.csv``: all values measured during training, one per row."""

import csv
import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from bionets.atomic import write_atomically
from bionets.csv_text import csv_text
from bionets.experiment.errors import UserError
from bionets.experiment.run.safe_read import RESTORE, read_bytes

COLUMNS = ("step", "epoch", "name", "value")
HEADER = f"{','.join(COLUMNS)}\n"
MOST_BYTES = 2 * 1024**3
COUNT = re.compile(r"\d{1,15}", re.ASCII)
FINITE = ("train/loss", "val/loss")  # training stops if one of these is not finite

Series = dict[str, tuple[list[int], list[float]]]
"""Steps and values of each metric."""


class Row(NamedTuple):
    step: int
    epoch: int
    name: str
    value: float


class Extent:
    """The size and digest of a metrics file at some time."""

    def __init__(self, content: bytes = b"") -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        self.extend(content)

    def extend(self, content: bytes) -> None:
        self.size += len(content)
        self._hash.update(content)

    def state(self) -> dict[str, Any]:
        """Size and digest for a checkpoint, with which the file of a resumed run is checked by `require_beginning`."""
        return {"size": self.size, "sha256": self._hash.hexdigest()}


def append(file: Path, rows: Sequence[Row], before: Extent | None = None) -> Extent:
    """Append rows to a metrics file, with a header if the file is new, and return its extent.

    Raises:
        UserError: the file does not have the size of the extent ``before``.
    """
    if before is not None and (not file.is_file() or file.stat().st_size != before.size):
        raise UserError(f"{file} was changed or deleted while the run trained: {RESTORE}")
    new = not file.exists()
    text = csv_text(COLUMNS, rows)
    content = (text if new else text.partition("\n")[2]).encode()
    extent = before or Extent(b"" if new else read_bytes(file, MOST_BYTES))
    with file.open("ab") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    extent.extend(content)
    return extent


def require_beginning(file: Path, known: Mapping[str, Any]) -> None:
    """Raise UserError if the beginning of a file does not have a stored size and digest of `Extent.state`."""
    content = read_bytes(file, MOST_BYTES)[: known["size"]] if file.exists() else b""
    if Extent(content).state() != known:
        raise UserError(f"{file} is not as the run wrote it: {RESTORE}")


def keep_epochs_before(file: Path, epoch: int) -> Extent | None:
    """Remove ``epoch`` and later epochs from a metrics file, and an incomplete last line. Return its extent; None if no
    row is left, and the file is deleted.

    Raises:
        UserError: a row is invalid.
    """
    if not file.exists():
        return None
    header, *lines = _text(file).splitlines(keepends=True) or [""]
    torn = not header.endswith("\n") and HEADER.startswith(header)
    if not torn:
        _require_header(file, header)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    kept = [line for number, line in enumerate(lines, 2) if _row(file, number, line).epoch < epoch]
    if not kept:
        file.unlink()
        return None
    content = "".join([header, *kept]).encode()
    write_atomically(file, content)
    return Extent(content)


def read_rows(file: Path) -> Iterator[Row]:
    """Step, epoch, name and value of each row; nothing if the file does not exist.

    Raises:
        UserError: a row is invalid; the message names the file and the line.
    """
    if file.exists():
        header, *lines = _text(file).splitlines(keepends=True) or [""]
        _require_header(file, header)
        for number, line in enumerate(lines, 2):
            yield _row(file, number, line)


def read_metrics(file: Path) -> Series:
    """The steps and values of each metric in a metrics file."""
    series: Series = {}
    for step, _, name, value in read_rows(file):
        steps, values = series.setdefault(name, ([], []))
        steps.append(step)
        values.append(value)
    return series


def summary(rows: Sequence[Row]) -> tuple[dict[str, float], int]:
    """The values of the rows of an epoch for loggers, and their step, the last one: the number of the epoch, the mean
    training loss, and of each other metric the last value.
    """
    values = {row.name: row.value for row in rows}
    if losses := [row.value for row in rows if row.name == "train/loss"]:
        values["train/loss"] = fmean(losses)
    return {**values, "epoch": rows[0].epoch}, max(row.step for row in rows)


def _text(file: Path) -> str:
    try:
        return read_bytes(file, MOST_BYTES).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not a text file: {RESTORE}") from error


def _require_header(file: Path, header: str) -> None:
    if header != HEADER:
        raise UserError(f"{file}, line 1 must be {HEADER.strip()}: {RESTORE}")


def _row(file: Path, number: int, line: str) -> Row:
    try:
        (cells,) = csv.reader([line], strict=True)
        fault = _fault(cells) if line.endswith("\n") else "is truncated"
    except (csv.Error, ValueError):
        cells, fault = [], "is not a row of a table"
    if fault:
        raise UserError(f"{file}, line {number} {fault}: {RESTORE}")
    step, epoch, name, value = cells
    return Row(int(step), int(epoch), name, float(value))


def _fault(cells: list[str]) -> str | None:
    if len(cells) != len(COLUMNS):
        return f"has {len(cells)} values instead of {len(COLUMNS)}"
    step, epoch, name, value = cells
    for column, cell in (("step", step), ("epoch", epoch)):
        if not COUNT.fullmatch(cell):
            return f"has the {column} {ascii(cell)[:40]}, which is not a count"
    if not name or not name.isprintable():
        return f"has the name {ascii(name)[:40]}"
    try:
        number = float(value)
    except ValueError:
        number = None
    if number is None or "_" in value or value != value.strip():
        return f"has the value {ascii(value)[:40]}, which is not a number"
    if name in FINITE and not math.isfinite(number):
        return f"has {name} {number}, with which no run goes on"
    return None
