"""Data that do not match a spec are refused in one line."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bionets.tasks import FixedSets, Task, TaskSpec
from bionets.tasks.checks import check_batch, check_data, check_loss
from bionets.tasks.spec import Kind

VALUE = TaskSpec("sequence_to_value", input_size=3, output_size=1)
SEQUENCE = TaskSpec("sequence_to_sequence", input_size=3, output_size=1)
IMAGE = TaskSpec("image_to_class", 12, 4, image_shape=(3, 2, 2))
CONTROL = TaskSpec("control", 4, 2)


def test_samples_are_counted_along_the_batch_dimension() -> None:
    check_data((torch.zeros(5, 8, 3), torch.zeros(8, 1)), (1, 0), 8)
    with pytest.raises(ValueError, match=r"^x of a data set .* 8 samples along dimension 1, .*time first$"):
        check_data((torch.zeros(8, 5, 3), torch.zeros(8, 1)), (1, 0), 8)
    with pytest.raises(ValueError, match=r"^the target of a data set must have its 8 samples along dimension 0"):
        check_data((torch.zeros(5, 8, 3), torch.zeros(7, 1)), (1, 0), 8)


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
def test_a_batch_whose_shape_does_not_match_the_spec_is_refused(
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
def test_lengths_that_do_not_match_the_spec_are_refused(
    spec: TaskSpec, lengths: list[int] | None, message: str | None
) -> None:
    batch = (torch.zeros(5, 2, 3), torch.zeros(2, 1), *([torch.tensor(lengths)] if lengths else []))
    if message is None:
        check_batch(spec, *batch)
        return
    with pytest.raises(ValueError, match=message):
        check_batch(spec, *batch)


@pytest.mark.parametrize(
    ("loss", "target", "message"),
    [
        (functional.mse_loss, torch.zeros(4), r"broadcasts a prediction \[4, 1\] and a target \[4\]"),
        (functional.l1_loss, torch.zeros(4, 3), r"broadcasts a prediction \[4, 1\] and a target \[4, 3\]"),
        (lambda p, t: ((p - t) ** 2).mean(), torch.zeros(4), r"broadcasts a prediction \[4, 1\] and a target \[4\]"),
        (lambda p, t: (t - p).abs().mean(), torch.zeros(4), r"broadcasts a prediction \[4, 1\] and a target \[4\]"),
        (lambda p, t: (p - t).square(), torch.zeros(4, 1), r"one number, got a tensor \[4, 1\]: take the mean"),
        (lambda p, t: float((p - t).sum()), torch.zeros(4, 1), "one number, got a float"),
    ],
)
def test_losses_that_broadcast_or_are_not_one_number_are_refused(
    loss: Callable[[Tensor, Tensor], Any], target: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_loss(loss, TaskSpec("sequence_to_value", 2, 1), torch.zeros(5, 4, 2), target)


@pytest.mark.parametrize(
    ("kind", "x", "target", "loss"),
    [
        ("sequence_to_value", (5, 4, 2), torch.zeros(4, 3), functional.mse_loss),
        ("sequence_to_sequence", (5, 4, 2), torch.zeros(5, 4, 3), functional.mse_loss),
        ("sequence_to_class", (5, 4, 2), torch.zeros(4, dtype=torch.int64), functional.cross_entropy),
        ("sequence_to_value", (5, 4, 2), torch.zeros(4, 3), lambda p, t: 1 / 0),
        ("sequence_to_sequence", (5, 4, 2), torch.zeros(1, 4, 3), functional.mse_loss),  # one target for all steps
        ("sequence_to_value", (5, 4, 2), torch.ones(4, dtype=torch.bool), lambda p, t: p[t].mean()),
        ("sequence_to_value", (5, 4, 2), torch.ones(4), lambda p, t: (p.mean(1, keepdim=True) - t.view(-1, 1)).mean()),
    ],
)
def test_valid_losses_are_accepted(
    kind: Kind, x: tuple[int, ...], target: Tensor, loss: Callable[[Tensor, Tensor], Any]
) -> None:
    before = torch.get_rng_state()
    check_loss(loss, TaskSpec(kind, 2, 3), torch.zeros(x), target)
    assert torch.equal(before, torch.get_rng_state())


def test_other_warnings_of_a_loss_are_ignored() -> None:
    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        warnings.warn("of another kind", UserWarning, stacklevel=1)
        return functional.mse_loss(prediction, target)

    with warnings.catch_warnings(action="error"):
        check_loss(loss, TaskSpec("sequence_to_value", 2, 1), torch.zeros(5, 4, 2), torch.zeros(4, 1))


def test_the_loss_receives_the_valid_steps_of_sequences_with_lengths() -> None:
    spec = TaskSpec("sequence_to_sequence", 2, 3, lengths=True)
    shapes = []

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        shapes.append((prediction.shape, target.shape))
        return functional.mse_loss(prediction, target)

    check_loss(loss, spec, torch.zeros(5, 2, 2), torch.zeros(5, 2, 3), torch.tensor([5, 2]))
    assert shapes == [((7, 3), (7, 3))]


def test_sequences_of_as_many_steps_as_samples_are_no_broadcast_of_the_loss() -> None:
    spec = TaskSpec("sequence_to_sequence", 2, 1, lengths=True)
    check_loss(functional.mse_loss, spec, torch.zeros(4, 4, 2), torch.zeros(4, 4, 1), torch.tensor([4, 2, 3, 4]))


@pytest.mark.parametrize("data", [(np.zeros((5, 4, 2)), np.zeros((4, 1))), (torch.zeros(5, 4, 2),), torch.zeros(5)])
def test_drawn_data_that_are_not_tensors_are_refused(data: Any) -> None:
    class Drawn(Task):
        spec = TaskSpec("sequence_to_value", 2, 1)

        def draw(self, split: str, size: int, generator: torch.Generator) -> Any:
            return data

    with pytest.raises(ValueError, match="a data set must be tensors"):
        Drawn(train_size=4, val_size=4, test_size=4, batch_size=2, epochs=1).val_data()


class Read(FixedSets):
    """A task that overrides how its data are read."""

    spec = TaskSpec("sequence_to_value", 2, 1)

    def __init__(self, data: Any) -> None:
        super().__init__(train_size=4, val_size=4, test_size=4, batch_size=2, epochs=1)
        self.data = data

    def part(self, split: str) -> Any:
        return self.data


@pytest.mark.parametrize(
    ("data", "got"),
    [
        ((np.zeros((5, 4, 2)), np.zeros((4, 1))), "got ndarray, ndarray"),
        ([[[0.0, 0.0]] * 4, [0.0] * 4], "got list, list"),
        ((torch.zeros(5, 4, 2), None), "got Tensor, NoneType"),
        (None, "got NoneType"),
    ],
)
def test_data_read_by_a_task_that_are_not_tensors_are_refused(data: Any, got: str) -> None:
    task = Read(data)
    for batches in (task.train_dataloader, task.val_dataloader, task.test_dataloader):
        with pytest.raises(ValueError, match=f"a data set must be tensors, .* {got}$"):
            batches()


@pytest.mark.parametrize("size", [3, 5])
def test_a_training_set_of_the_wrong_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="x of a data set must have its 4 samples along dimension 1"):
        Read((torch.zeros(5, size, 2), torch.zeros(size, 1))).train_dataloader()


def test_an_unknown_kind_of_a_spec_is_refused_with_all_kinds() -> None:
    with pytest.raises(ValueError, match=r"kind=sequence_to_number of a task is unknown: choose .*sequence_to_value"):
        TaskSpec("sequence_to_number", 1, 1)  # type: ignore[arg-type]
