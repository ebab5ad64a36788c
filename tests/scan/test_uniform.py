"""Random numbers against Philox in Python integers, and as a stream."""

import os
import subprocess
import sys

import pytest
import torch

from bionets.scan.uniform import uniform

LOW = 0xFFFFFFFF


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-7 (Salmon et al. 2011, fig. 2 and section 3.3)."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(7):
        p, q = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (q >> 32) ^ c1 ^ k0, q & LOW, (p >> 32) ^ c3 ^ k1, p & LOW
        k0, k1 = (k0 + 0x9E3779B9) & LOW, (k1 + 0xBB67AE85) & LOW
    return [c0, c1, c2, c3]


def test_philox_gives_the_known_answer() -> None:
    assert philox([0] * 4, [0] * 2) == [0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48]


@pytest.mark.parametrize("size", [1, 7, 2048, 2049, 6000])
def test_numbers_are_those_of_philox(size: int) -> None:
    seed, step = 0x123456789ABCDEF0, (1 << 32) + 5
    found = uniform(seed, step - 1, (2, size))[1]
    for place in {0, size // 3, size // 2, size - 1}:
        counter = place // 2048 * 512 + place % 512
        word = philox([counter, 0, step & LOW, step >> 32], [seed & LOW, seed >> 32])[place % 2048 // 512]
        assert found[place].item() == (word >> 8) / 2**24


def test_a_stream_continues_where_it_stopped_for_any_number_of_threads() -> None:
    whole = uniform(3, 0, (7, 5, 1000))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(torch.cat([uniform(3, 0, (2, 5, 1000)), uniform(3, 2, (5, 5, 1000))]), whole)
    finally:
        torch.set_num_threads(threads)
    assert uniform(3, 0, (0, 5)).shape == (0, 5) and uniform(3, 0, (2, 0)).shape == (2, 0)


INTERPRETED = """
import torch
from bionets.scan import uniform
from bionets.scan.gpu import uniform as triton_uniform
expected = uniform.uniform(1 << 62, (1 << 32) - 1, (2, 2050))
found = torch.empty_like(expected)
triton_uniform.fill(found, 1 << 62, (1 << 32) - 1)
assert torch.equal(found, expected)
"""


def test_the_triton_kernel_draws_the_same_numbers() -> None:
    pytest.importorskip("triton")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", INTERPRETED], env=environment, check=True)


def test_numbers_are_uniform_and_do_not_repeat() -> None:
    numbers = uniform(1, 0, (50, 20_000)).double()
    assert abs(numbers.mean() - 0.5) < 2e-3 and abs(numbers.var() - 1 / 12) < 1e-3
    counts = torch.histc(numbers, 64, 0, 1)
    expected = numbers.numel() / 64
    assert ((counts - expected) ** 2 / expected).sum() < 120  # χ² with 63 degrees of freedom: 1 in 50,000
    assert (
        abs(torch.corrcoef(torch.stack([numbers[0], numbers[1], uniform(2, 0, (1, 20_000))[0].double()]))[0, 1:]).max()
        < 0.05
    )
    assert numbers.min() >= 0 and numbers.max() < 1
