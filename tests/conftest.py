"""What holds for every test."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """Runs flush denormals in the whole process; Hypothesis refuses to draw floats where they are flushed."""
    yield
    torch.set_flush_denormal(False)
