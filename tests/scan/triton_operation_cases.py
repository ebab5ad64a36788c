"""Each operation of the table on its own on the triton backend: see `triton_cases` for where this runs."""

import pytest
import torch

from .operation_checks import (
    GROUPS,
    check_agreement_with_eager_torch,
    check_zeros_infinities_and_nan,
    name_group,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("names", GROUPS, ids=name_group)
def test_agrees_with_eager_torch(names: list[str], dtype: torch.dtype) -> None:
    check_agreement_with_eager_torch(names, dtype, "triton")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("names", GROUPS, ids=name_group)
def test_zeros_infinities_and_nan_agree_with_eager_torch(names: list[str], dtype: torch.dtype) -> None:
    check_zeros_infinities_and_nan(names, dtype, "triton")
