"""The option ``style`` of train, compare and analyse."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bionets.analysis.style import use_style
from bionets.experiment.errors import user_errors


@contextmanager
def figure_style(name: str) -> Iterator[None]:
    """Draw all figures within this context in a style. Raises UserError on entry if the style is unknown."""
    with ExitStack() as style:
        with user_errors():
            style.enter_context(use_style(name))
        yield
