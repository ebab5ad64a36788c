"""Data that a spec does not describe are refused in one line."""

from dataclasses import replace

import pytest
import torch

from bionets.tasks import TaskSpec
from bionets.tasks.checks import check_batch, check_rows

VALUE = TaskSpec("sequence_to_value", input_size=3, output_size=1)
SEQUENCE = TaskSpec("sequence_to_sequence", input_size=3, output_size=1)
IMAGE = TaskSpec("image_to_class", 12, 4, image_shape=(3, 2, 2))
CONTROL = TaskSpec("control", 4, 2)


def test_samples_are_counted_along_the_batch_dimension() -> None:
    check_rows(torch.zeros(5, 8, 3), torch.zeros(8, 1), (1, 0), 8)
    with pytest.raises(ValueError, match=r"^x of a data set .* 8 samples along dimension 1, .*time first$"):
        check_rows(torch.zeros(8, 5, 3), torch.zeros(8, 1), (1, 0), 8)
    with pytest.raises(ValueError, match=r"^the target of a data set must have its 8 samples along dimension 0"):
        check_rows(torch.zeros(5, 8, 3), torch.zeros(7, 1), (1, 0), 8)


@pytest.mark.parametrize(
    ("spec", "x", "target", "fits"),
    [
        (VALUE, (5, 8, 3), (8, 1), True),
        (VALUE, (5, 8, 2), (8, 1), False),
        (VALUE, (8, 3), (8, 1), False),
        (VALUE, (5, 8, 3), (5, 1), False),
        (SEQUENCE, (5, 8, 3), (5, 8, 1), True),
        (SEQUENCE, (5, 8, 3), (2, 8, 1), True),  # an answer at the last steps alone
        (SEQUENCE, (5, 8, 3), (8, 5, 1), False),
        (IMAGE, (8, 3, 2, 2), (8,), True),
        (IMAGE, (8, 12), (8,), False),
        (CONTROL, (8,), (8,), True),
        (CONTROL, (8, 4), (8,), False),
    ],
)
def test_a_batch_is_shaped_as_its_spec_says(
    spec: TaskSpec, x: tuple[int, ...], target: tuple[int, ...], fits: bool
) -> None:
    if fits:
        check_batch(spec, torch.zeros(x), torch.zeros(target))
        return
    with pytest.raises(ValueError) as error:
        check_batch(spec, torch.zeros(x), torch.zeros(target))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "lengths", "message"),
    [
        (VALUE, [5, 1], "says no lengths, but a batch came with them"),
        (replace(VALUE, lengths=True), None, "says lengths=True, but a batch came without them"),
        (replace(VALUE, lengths=True), [5, 1, 2], r"must be \[2\] integers"),
        (replace(VALUE, lengths=True), [5, 0], "between 1 and T = 5"),
        (replace(VALUE, lengths=True), [6, 1], "between 1 and T = 5"),
        (replace(VALUE, lengths=True), [5, 1], None),
    ],
)
def test_lengths_are_as_the_spec_says(spec: TaskSpec, lengths: list[int] | None, message: str | None) -> None:
    batch = (torch.zeros(5, 2, 3), torch.zeros(2, 1), *([torch.tensor(lengths)] if lengths else []))
    if message is None:
        check_batch(spec, *batch)
        return
    with pytest.raises(ValueError, match=message):
        check_batch(spec, *batch)
