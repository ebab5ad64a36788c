"""Printing of plain text."""

from rich.console import Console

from bionets.experiment.errors import escape_controls


def print_line(console: Console, text: str) -> None:
    """Print a text on one line: control characters escaped, no markup, highlighting and line breaks of rich."""
    console.print(escape_controls(text), highlight=False, markup=False, soft_wrap=True)
