"""Printing of plain text."""

from rich.console import Console


def print_line(console: Console, text: str) -> None:
    """Print a text unchanged, without rich's markup, highlighting and line breaks."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
