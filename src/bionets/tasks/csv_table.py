"""Arrays of a user's own data from a CSV: a row for each sample, or for each step of a sequence."""

import csv
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from .data_files import NAME_THEM, Arrays, as_targets, exact
from .spec import UNLABELLED

MISSING = {  # texts for a missing number, in lower case; also those of Excel (#N/A) and pandas (<NA>)
    *("na", "n/a", "nan", "-nan", "inf", "-inf", "infinity", "-infinity", "null", "none", "?", "-", "."),
    *("#n/a", "#na", "<na>"),
}

Row = tuple[int, dict[str, str]]
"""A row of a CSV by the names of its columns, with the number of its line."""


def read_csv(
    path: Path,
    inputs: Sequence[str],
    targets: str,
    sequences: str | None,
    sort_by: str | None,
    others: Sequence[str],
    every_step: bool | None,
) -> Arrays:
    """Read a CSV with a header.

    Args:
        path: the file.
        inputs: columns of the inputs; empty: all that have no other use.
        targets: column of the targets.
        sequences: column that identifies the sequence of a row; None: every row is a sample.
        sort_by: column of numbers by which the rows of each sequence are sorted; None: they have the order of the file.
        others: further columns that are not inputs.
        every_step: whether there is a target for each row of a sequence, which may then be empty; None: if targets
            differ within a sequence.

    Raises:
        ValueError: the file cannot be read, or a column or a value is missing or wrong.
    """
    columns, numbered = _rows(path)
    chosen = _chosen_columns(path, columns, inputs, targets, sequences, sort_by, others)
    if longer := [line for line, row in numbered if None in row]:
        raise ValueError(f"task.data={path}, line {longer[0]} has more entries than the header: correct it")
    values = [[_number(path, row, name, line) for name in chosen] for line, row in numbered]
    remedy = "leave the row out"
    if sequences is not None:
        remedy += ", or if some steps have no label, choose task.target_kind=class_every_step or number_every_step"
    if not every_step:
        _require_filled(path, targets, numbered, remedy)
    for name in filter(None, (sequences, sort_by)):
        _require_filled(path, name, numbered, "leave the row out")
    classes, labels = _labels(path, targets, numbered, "leave it empty" if every_step else "leave the row out")
    x = exact(torch.tensor(values, dtype=torch.float64))
    if sequences is None:
        return Arrays(x, labels, classes, columns=tuple(chosen))
    places: dict[str, list[int]] = {}
    for place, (_, row) in enumerate(numbered):
        places.setdefault(row[sequences].strip(), []).append(place)
    if sort_by is not None:
        _sort(path, places, sort_by, numbered)
    lengths = torch.tensor([len(each) for each in places.values()])
    longest = int(lengths.max())
    index = torch.tensor([each + each[-1:] * (longest - len(each)) for each in places.values()])
    y = labels[index]  # shorter sequences are padded with their last row, which is not scored
    differ = (y != y[:, :1]).any(1)
    if every_step is False and bool(differ.any()):
        name = list(places)[int(differ.nonzero()[0])]
        raise ValueError(
            f"task.data={path}, column {targets} differs within the sequence {name}: correct it, or choose "
            "task.target_kind=class_every_step or number_every_step"
        )
    stepwise = bool(differ.any()) if every_step is None else every_step
    own_lengths = lengths if bool((lengths < longest).any()) else None
    return Arrays(
        x[index], y if stepwise else y[:, 0], classes, own_lengths, names=tuple(places), columns=tuple(chosen)
    )


def _rows(path: Path) -> tuple[list[str], list[Row]]:
    """The names of the columns, and the rows."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        try:
            columns = reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            numbered = [(reader.line_num, row) for row in reader]  # blank lines are no rows
        except UnicodeDecodeError as error:
            raise ValueError(f"task.data={path} is not written in UTF-8 ({error}): save it as UTF-8") from error
        except csv.Error as error:
            raise ValueError(f"task.data={path} cannot be read as a CSV ({error})") from error
    if not numbered:
        raise ValueError(f"task.data={path} has no rows below its header")
    return columns, numbered


def _chosen_columns(
    path: Path,
    columns: Sequence[str],
    inputs: Sequence[str],
    targets: str,
    sequences: str | None,
    sort_by: str | None,
    others: Sequence[str],
) -> list[str]:
    """The columns of the inputs. Raises ValueError if a column is missing, has two uses or is there twice."""
    named = [*inputs, targets, *(name for name in (sequences, sort_by) if name is not None)]
    if missing := [name for name in named if name not in columns]:
        hint = NAME_THEM if missing[0] in (*inputs, targets) else ""
        hint = "; columns are separated by commas" if len(columns) == 1 else hint
        raise ValueError(f"task.data={path} has no column {missing[0]!r}: it has {', '.join(columns)}{hint}")
    if both := [name for name in inputs if name in (targets, *others)]:
        raise ValueError(f"task.data={path}: column {both[0]} is in task.inputs and in task.targets: leave one out")
    chosen = list(inputs) or [name for name in columns if name not in (targets, sequences, sort_by, *others)]
    if twice := [name for name in (*chosen, *named) if columns.count(name) > 1]:
        raise ValueError(f"task.data={path} has several columns {twice[0]!r}: give each a name of its own")
    return chosen


def _require_filled(path: Path, name: str, numbered: Sequence[Row], remedy: str) -> None:
    if empty := [line for line, row in numbered if not (row[name] or "").strip()]:
        raise ValueError(f"task.data={path}, line {empty[0]}, column {name} is empty: fill it, or {remedy}")


def _number(path: Path, row: dict[str, str], name: str, line: int) -> float:
    number = _as_number(row[name] or "")
    if number is None:
        raise ValueError(
            f"task.data={path}, line {line}, column {name}: {row[name]!r} is not a number: correct it, "
            "or name the columns to read, as in task.inputs=[a,b]"
        )
    return number


def _sort(path: Path, places: dict[str, list[int]], column: str, numbered: Sequence[Row]) -> None:
    """Sort the places of the rows of each sequence by the numbers in a column. Raises ValueError if two are equal."""
    keys: list[int | float] = []
    for line, row in numbered:
        text = row[column].strip()
        whole = text.removeprefix("-").isdecimal()
        number = int(text) if whole else _as_number(text)  # nanoseconds since 1970 have more digits than a float
        if number is None:
            raise ValueError(
                f"task.data={path}, line {line}, column {column}: {text!r} is not a number, as task.sort_by needs: "
                "correct it, or leave the row out"
            )
        keys.append(number)
    for name, each in places.items():
        each.sort(key=keys.__getitem__)
        for one, other in pairwise(each):
            if keys[one] == keys[other]:
                raise ValueError(
                    f"task.data={path}, lines {numbered[one][0]} and {numbered[other][0]}, column {column} is "
                    f"{keys[one]} in two rows of the sequence {name}, which task.sort_by cannot sort: correct it"
                )


def _labels(path: Path, column: str, numbered: Sequence[Row], remedy: str) -> tuple[tuple[str, ...], Tensor]:
    """Classes and their numbers if the column holds text or integers, otherwise only the numbers. An empty cell is
    `UNLABELLED` among classes of text, and NaN among numbers.

    Raises:
        ValueError: the column mixes text and numbers that are not classes, or a number is missing.
    """
    texts = [(row[column] or "").strip() for _, row in numbered]
    words = {text for text in texts if text and _as_number(text) is None}
    if words:
        numbers = [number for text in texts if (number := _as_number(text)) is not None]
        if numbers and (not all(number.is_integer() for number in numbers) or {*map(str.lower, words)} <= MISSING):
            line, text = next((line, text) for (line, _), text in zip(numbered, texts, strict=True) if text in words)
            raise ValueError(
                f"task.data={path}, line {line}, column {column}: {text!r} is not a number, as others in the column "
                f"are: correct it, or {remedy}"
            )
        classes = tuple(sorted({text for text in texts if text}))
        place = {name: number for number, name in enumerate(classes)} | {"": UNLABELLED}
        return classes, torch.tensor([place[text] for text in texts])
    found = [_as_number(text) for text in texts]
    return (), as_targets(torch.tensor([math.nan if each is None else each for each in found], dtype=torch.float64))


def _as_number(text: str) -> float | None:
    """The text as a finite number; None for other text, such as "nan"."""
    if "_" in text:  # a name: Python would read 1_2 and 12 as the same number
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
