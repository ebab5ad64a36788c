"""Text from any source on one line, without effect on a terminal."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

WIDEST = 10_000  # columns of a terminal


def escape_controls(text: str) -> str:
    """Escape control characters as in a Python string."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def printable_line(text: object, most: int = 300) -> str:
    """A text on one line of at most ``most`` characters, without control characters."""
    line = "".join(each if each.isprintable() else " " for each in str(text)).strip()
    return line if len(line) <= most else f"{line[: most - 1]}…"


def print_line(text: str) -> None:
    """Print a text on one line, with control characters escaped; see `print_text`."""
    print_text(escape_controls(text))


def print_text(text: str) -> None:
    """Print a text. If the reader of a pipe has ended, as after ``| head``, exit without a message, as rich does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it again on exit
        raise SystemExit(1) from None


def print_wide(table: "Table") -> None:
    """Print a table at its full width: rich shortens words and cuts off columns beyond the width of the terminal, or
    beyond 80 columns in a file. Names are printed as they are.
    """
    from rich.console import Console  # the completion of command lines does not need it

    console = Console(markup=False, emoji=False)
    needed = console.measure(table, options=console.options.update(max_width=WIDEST)).maximum
    console.width = max(console.width, needed)
    console.print(table)
