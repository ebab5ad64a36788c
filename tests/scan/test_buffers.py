"""Buffers of large results are reused, and buffers of sizes out of use are freed."""

import pytest
import torch

from bionets.scan.cpu import buffers

MEBI = 1 << 20


def address(mebibytes: int) -> int:
    """Of a buffer that is given back at once."""
    return buffers.empty((mebibytes * MEBI // 4,), torch.float32).data_ptr()


@pytest.fixture(autouse=True)
def small_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "_free", type(buffers._free)())
    monkeypatch.setattr(buffers, "_kept", 0)
    monkeypatch.setattr(buffers, "KEPT", 8 * MEBI)


def test_a_freed_buffer_of_the_same_size_is_reused() -> None:
    assert address(3) == address(3)


def test_a_buffer_in_use_is_not_handed_out_again() -> None:
    one = buffers.empty((MEBI,), torch.float32)
    other = buffers.empty((MEBI,), torch.float32)
    assert one.data_ptr() != other.data_ptr()


def test_buffers_of_the_least_recently_used_size_are_freed_first() -> None:
    both = [buffers.empty((3 * MEBI // 4,), torch.float32) for _ in range(2)]
    del both
    for mebibytes, kept in ((1, {3: 2, 1: 1}), (3, {3: 2, 1: 1}), (2, {3: 2, 2: 1}), (4, {2: 1, 4: 1})):
        address(mebibytes)
        assert {size // MEBI: len(arrays) for size, arrays in buffers._free.items() if arrays} == kept
        assert buffers._kept == sum(size * count for size, count in kept.items()) * MEBI


def test_a_buffer_larger_than_the_store_is_not_kept() -> None:
    address(2)
    address(9)
    assert buffers._kept <= 8 * MEBI
