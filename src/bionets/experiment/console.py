"""Lines on the terminal."""

from rich.console import Console


def print_line(console: Console, text: str) -> None:
    """Print a text as it is: without markup, colours and line breaks of rich's own."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)
