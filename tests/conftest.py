"""Fixtures of every test."""

import gc
import zlib
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

settings.register_profile("bionets", deadline=None)  # the time of an example depends on what else the machine does
settings.load_profile("bionets")


def pytest_collection_finish() -> None:
    """Garbage collections, one of which ends each command, skip what imports and the collection of tests created."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """Runs flush denormals in the whole process; Hypothesis refuses to draw floats where they are flushed."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(autouse=True)
def fixed_random_numbers(request: pytest.FixtureRequest) -> None:
    """Each test draws the same numbers in every run, alone or with others, in any order.

    The fixture is not called ``seed``: a test with a parameter of this name would replace it.
    """
    torch.manual_seed(zlib.crc32(request.node.nodeid.encode()))
