"""Printing of plain text."""

from rich.console import Console

from bionets.experiment.errors import escape_controls


def print_line(console: Console, text: str) -> None:
    """Print a text on one line, with control characters escaped, without rich's markup, highlighting and line breaks."""
    console.print(escape_controls(text), highlight=False, markup=False, soft_wrap=True)
