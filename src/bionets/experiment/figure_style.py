"""The option ``style`` of train, compare and analyse."""

from collections.abc import Iterator
from contextlib import contextmanager

from bionets.analysis.style import STYLES, use_style
from bionets.experiment.errors import UserError


@contextmanager
def figure_style(name: str) -> Iterator[None]:
    """Draw all figures within this context in a style. Raises UserError on entry if the style is unknown."""
    if name not in STYLES:
        raise UserError(f"style={name} is unknown: choose {', '.join(STYLES)}")
    with use_style(name):
        yield
