"""Several targets of one data set: each has its part of the prediction, its loss, its weight and its metrics."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bionets.models.meters import make_meters, measure
from bionets.tasks import CustomData

N, T = 40, 6


def write(path: Path, **targets: Tensor) -> str:
    x = torch.randn(N, T, 3, generator=torch.Generator().manual_seed(0))
    np.savez(path, x=x.numpy(), **{name: target.numpy() for name, target in targets.items()})
    return str(path)


def mixed(path: Path, **keys: object) -> CustomData:
    speed = torch.randn(N, 2, generator=torch.Generator().manual_seed(1))
    data = write(path / "data.npz", kind=torch.arange(N) % 4, speed=speed)
    return CustomData(data, targets=["kind", "speed"], **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("weight", [0.5, 0.0])
def test_the_loss_is_the_weighted_sum_of_the_losses(tmp_path: Path, weight: float) -> None:
    task = mixed(tmp_path, target_weights=[weight, 2.0])
    assert (task.spec.kind, task.spec.input_size, task.spec.output_size) == ("sequence_to_value", 3, 6)
    x, target = task.train_data(0)
    prediction = torch.randn(x.shape[1], 6, requires_grad=True)
    of_class = functional.cross_entropy(prediction[:, :4], target[:, 0].long())
    of_number = functional.mse_loss(prediction[:, 4:], target[:, 1:])
    torch.testing.assert_close(task.loss(prediction, target), weight * of_class + 2.0 * of_number)


def test_a_target_of_several_numbers_may_come_before_a_class(tmp_path: Path) -> None:
    write(tmp_path / "data.npz", kind=torch.arange(N) % 4, speed=torch.randn(N, 2))
    task = CustomData(str(tmp_path / "data.npz"), targets=["speed", "kind"])
    _, target = task.train_data(0)
    prediction = torch.randn(len(target), 6)
    of_number = functional.mse_loss(prediction[:, :2], target[:, :2])
    of_class = functional.cross_entropy(prediction[:, 2:], target[:, 2].long())
    torch.testing.assert_close(task.loss(prediction, target), of_number + of_class)


def test_several_targets_have_the_split_of_a_single_target(tmp_path: Path) -> None:
    task, alone = mixed(tmp_path), CustomData(str(tmp_path / "data.npz"), targets="kind")
    x, target = task.val_data()
    expected_x, expected = alone.val_data()
    assert torch.equal(x, expected_x) and torch.equal(target[:, 0].long(), expected)


def test_metrics_have_the_name_of_their_target(tmp_path: Path) -> None:
    task = mixed(tmp_path)
    _, target = task.val_data()
    prediction = torch.randn(len(target), 6)
    meters = make_meters(task)
    assert set(meters) == {"loss", "kind_accuracy", "speed_mse", "speed_mae"}
    for _ in range(2):  # a pass, a reset, and again the same
        meters.reset()
        for part in (slice(0, 1), slice(1, None)):
            measure(meters, task, prediction[part], target[part])
        values = meters.compute()
        right = prediction[:, :4].argmax(1) == target[:, 0]
        torch.testing.assert_close(values["kind_accuracy"], right.float().mean())
        torch.testing.assert_close(values["speed_mse"], functional.mse_loss(prediction[:, 4:], target[:, 1:]))


def test_losses_of_several_targets_at_every_step_are_added(tmp_path: Path) -> None:
    data = write(tmp_path / "data.npz", a=torch.randn(N, T), b=torch.randn(N, T, 2))
    task = CustomData(data, targets=["a", "b"])
    _, target = task.train_data(0)
    assert task.spec.kind == "sequence_to_sequence" and target.shape == (T, 32, 3)
    prediction = torch.randn(T, 32, 3)
    expected = functional.mse_loss(prediction[..., :1], target[..., :1])
    expected = expected + functional.mse_loss(prediction[..., 1:], target[..., 1:])
    torch.testing.assert_close(task.loss(prediction, target), expected)


def test_targets_may_be_columns_of_a_csv(tmp_path: Path) -> None:
    with (tmp_path / "data.csv").open("w", newline="") as file:
        rows = [[n, n / 2, n % 3, -n / 4] for n in range(30)]
        csv.writer(file).writerows([["a", "b", "kind", "value"], *rows])
    task = CustomData(str(tmp_path / "data.csv"), targets=["kind", "value"], read_as="rows")
    x, target = task.train_data(0)
    assert x.shape == (1, 24, 2)  # the targets are no inputs
    assert torch.equal(target[:, 0], x[0, :, 0] % 3) and torch.equal(target[:, 1], -x[0, :, 0] / 4)


class Pairs(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Pairs of a sequence and a mapping of targets."""

    def __init__(self, size: int = 10) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: int) -> tuple[Tensor, dict[str, object]]:
        return torch.full((4, 2), float(number)), {"parity": number % 2, "half": number / 2}


def test_a_data_set_may_give_targets_as_mappings_and_take_arguments() -> None:
    task = CustomData(f"{__name__}.Pairs", targets=["parity", "half"], arguments={"size": 20})
    x, target = task.train_data(0)
    assert x.shape == (4, 16, 2)
    assert torch.equal(target, torch.stack([x[0, :, 0] % 2, x[0, :, 0] / 2], 1))


class Drawn(Pairs):
    """Draws its samples anew whenever it is built or read."""

    def __getitem__(self, number: int) -> tuple[Tensor, dict[str, object]]:
        x = torch.randn(T, 2)
        return x, {"kind": int(x[0, 0] > 0), "last": x[-1]}


def test_all_targets_of_a_data_set_belong_to_the_same_inputs() -> None:
    task = CustomData(f"{__name__}.Drawn", targets=["kind", "last"], arguments={"size": 40})
    x, target = task.train_data(0)
    assert torch.equal(target[:, 0], (x[0, :, 0] > 0).float())
    assert torch.equal(target[:, 1:], x[-1])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"target_weights": [1.0]}, "target_weights must be 2 numbers"),
        ({"targets": ["kind", "kind"]}, "names of one or more targets"),
        ({"targets": []}, "names of one or more targets"),
        ({"targets": ["kind", "size"]}, "has no 'size'"),
        ({"targets": "kind", "target_weights": [1.0]}, "target_weights are for several targets"),
        ({"targets": ["kind", "steps"]}, "all targets must be for whole sequences"),
        ({"class_weights": "balanced"}, "class_weights need whole-number targets"),
    ],
)
def test_incompatible_targets_and_options_are_refused(tmp_path: Path, keys: dict[str, object], message: str) -> None:
    data = write(tmp_path / "data.npz", kind=torch.arange(N) % 4, speed=torch.randn(N), steps=torch.randn(N, T))
    with pytest.raises(ValueError, match=message):
        CustomData(data, **{"targets": ["kind", "speed"], **keys})  # type: ignore[arg-type]


def test_images_may_have_several_targets(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((N, 1, 4, 4)), a=np.arange(N) % 2, b=np.arange(N) % 3)
    spec = CustomData(str(tmp_path / "data.npz"), targets=["a", "b"]).spec
    assert (spec.kind, spec.output_size) == ("image_to_value", 5)
    assert CustomData(str(tmp_path / "data.npz"), targets=["a", "b"], read_as="rows").spec.output_size == 5


def test_metrics_can_be_called_as_functions(tmp_path: Path) -> None:
    task = mixed(tmp_path)
    _, target = task.train_data(0)
    prediction = torch.randn(len(target), 6)
    called, updated = task.metrics(), task.metrics()
    for rows in (slice(0, 5), slice(5, None)):
        of_batch = called(prediction[rows], target[rows])
        alone = task.metrics()
        alone.update(prediction[rows], target[rows])
        torch.testing.assert_close(of_batch, alone.compute())
        updated.update(prediction[rows], target[rows])
    torch.testing.assert_close(called.compute(), updated.compute())


def test_classes_that_the_precision_cannot_hold_are_refused(tmp_path: Path) -> None:
    """With precision bf16-true, Lightning converts targets to bfloat16, in which 257 is 256."""
    np.savez(tmp_path / "data.npz", x=np.zeros((N, T, 3)), a=np.arange(N) % 2, b=256 + np.arange(N) % 2)
    task = CustomData(str(tmp_path / "data.npz"), targets=["a", "b"], target_kind="class")
    _, target = task.train_data(0)
    prediction = torch.randn(len(target), task.spec.output_size)
    for given in (task.loss, task.metrics()):
        given(prediction, target)
        given(prediction.half(), target.half())
        with pytest.raises(ValueError, match="the 258 classes of b cannot be numbered in bfloat16"):
            given(prediction.bfloat16(), target.bfloat16())


def test_classes_that_the_precision_can_hold_are_accepted(tmp_path: Path) -> None:
    """All integers up to 256 are numbers of bfloat16."""
    np.savez(tmp_path / "data.npz", x=np.zeros((N, T, 3)), a=np.arange(N) % 2, b=255 + np.arange(N) % 2)
    task = CustomData(str(tmp_path / "data.npz"), targets=["a", "b"], target_kind="class")
    _, target = task.train_data(0)
    assert task.heads[1].classes == 257
    assert torch.equal(task.heads[1].own_target(target.bfloat16()), task.heads[1].own_target(target))
