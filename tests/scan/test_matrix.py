"""Matrix products of whole tensors: against torch in float64, and with equal bits for every number of threads."""

import pytest
import torch
from torch import Tensor

from bionets.scan.cpu.matrix import SMALL_SUM, TERMS, multiply, multiply_transposed


def random_factors(terms: int, rows: int, columns: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two matrices of this number of terms, the first with gaps between its rows."""
    return torch.randn(terms, rows + 3, dtype=dtype)[:, :rows], torch.randn(terms, columns, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("terms", "rows", "columns"),
    [
        (0, 3, 4),
        (1, 17, 1),
        (900, 40, 15),
        (TERMS, 5, 7),
        (TERMS + 1, 7, 5),
        (3 * TERMS + 100, 40, 100),
        (500, 300, 250),  # more than SMALL_SUM results
    ],
)
def test_sums_of_products_equal_those_of_torch(terms: int, rows: int, columns: int, dtype: torch.dtype) -> None:
    assert (rows * columns > SMALL_SUM) == (rows == 300)
    torch.manual_seed(0)
    left, right = random_factors(terms, rows, columns, dtype)
    third = terms // 3
    pairs = [(left[:third], right[:third]), (left[third:], right[third:])]
    found = {}
    threads = torch.get_num_threads()
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        try:
            found[count] = multiply_transposed([pairs, [(right, left)]], [(rows, columns), (columns, rows - 1)])
        finally:
            torch.set_num_threads(threads)
    expected = left.double().T @ right.double()
    tolerance = {"rtol": 0.0, "atol": 1e-3 if dtype == torch.float32 else 1e-10}
    torch.testing.assert_close(found[1][0].double(), expected, **tolerance)
    torch.testing.assert_close(found[1][1].double(), expected.T[:, : rows - 1], **tolerance)
    for count in (2, 3):
        assert all(torch.equal(one, other) for one, other in zip(found[1], found[count], strict=True))


def test_there_may_be_no_sum() -> None:
    assert multiply_transposed([], []) == []


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (130, 17, 33), (20000, 10, 20)])
def test_a_product_equals_that_of_torch(rows: int, inner: int, columns: int) -> None:
    torch.manual_seed(0)
    left, right = torch.randn(rows, inner + 1)[:, :inner], torch.randn(inner, columns)
    torch.testing.assert_close(multiply(left, right), left @ right, rtol=1e-5, atol=1e-5)
