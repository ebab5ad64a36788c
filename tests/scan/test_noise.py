"""Random numbers for stochastic steps."""

import pytest
import torch

from bionets.scan import uniform
from bionets.scan.numba_compile import helper
from bionets.scan.numba_random import CHUNK, LANES


def test_the_generator_gives_the_published_numbers() -> None:
    """The first of Philox 4x32-10's known answers, for a counter and a key of zeros (Random123, kat_vectors)."""
    numbers = torch.empty(CHUNK)
    helper("uniform", 32, 4)(numbers.data_ptr(), 0, 1, 0)
    published = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert numbers[::LANES].tolist() == [(word >> 8) / 2**24 for word in published]


@pytest.mark.parametrize("shape", [(0, 3), (1,), (7, 5, 3), (100, 1000)])
def test_a_seed_fixes_the_numbers_for_any_number_of_threads(shape: tuple[int, ...]) -> None:
    threads, drawn = torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        drawn.append(uniform(shape, generator=torch.Generator().manual_seed(5)))
    torch.set_num_threads(threads)
    assert drawn[0].shape == shape
    assert all(torch.equal(drawn[0], other) for other in drawn[1:])


def test_torch_seed_counts_and_two_draws_differ() -> None:
    torch.manual_seed(3)
    first, second = uniform((50,)), uniform((50,))
    torch.manual_seed(3)
    assert torch.equal(uniform((50,)), first)
    assert not torch.equal(first, second)


def test_numbers_are_uniform_and_independent() -> None:
    numbers = uniform((1000, 1000), generator=torch.Generator().manual_seed(0)).double()
    assert numbers.min() >= 0 and numbers.max() < 1
    counts = torch.histc(numbers, 100, 0, 1)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 149  # chi², 99 degrees of freedom: exceeded once in 1,000 seeds
    centred = numbers.flatten() - 0.5
    for distance in (1, LANES, CHUNK):
        assert (centred[distance:] * centred[:-distance]).mean().abs() < 4 / 12 / 1000  # four standard errors
