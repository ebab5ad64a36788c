"""Printing of plain text."""

from bionets.experiment.errors import escape_controls


def print_line(text: str) -> None:
    """Print a text on one line, with control characters escaped."""
    print(escape_controls(text), flush=True)
