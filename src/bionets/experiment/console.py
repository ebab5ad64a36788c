"""Text from any source on one line, without effect on a terminal."""


def escape_controls(text: str) -> str:
    """Escape control characters as in a Python string."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def printable_line(text: object, most: int = 300) -> str:
    """A text on one line of at most ``most`` characters, without control characters."""
    line = "".join(each if each.isprintable() else " " for each in str(text)).strip()
    return line if len(line) <= most else f"{line[: most - 1]}…"


def print_line(text: str) -> None:
    """Print a text on one line, with control characters escaped."""
    print(escape_controls(text), flush=True)
