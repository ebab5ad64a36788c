"""User-defined metrics, by import path."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torchmetrics import MeanAbsoluteError

from bionets.experiment.errors import UserError
from bionets.experiment.run.custom_metrics import add_metrics, headlines
from bionets.models.meters import make_meters, measure
from bionets.tasks import CopyFirstInput


def largest_error(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).abs().mean()


def each_error(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).abs()


class Needy(MeanAbsoluteError):
    def __init__(self, needed: int) -> None:
        super().__init__()


@pytest.fixture(autouse=True)
def module() -> Iterator[None]:
    made = ModuleType("own_metrics")
    made.largest_error, made.Mae, made.Needy = largest_error, MeanAbsoluteError, Needy  # type: ignore[attr-defined]
    made.each_error = each_error  # type: ignore[attr-defined]
    made.text, made.mse = "text", largest_error  # type: ignore[attr-defined]
    sys.modules["own_metrics"] = made
    yield
    del sys.modules["own_metrics"]


def task() -> CopyFirstInput:
    return CopyFirstInput(length=4, train_size=10, val_size=10, test_size=10)


def test_user_functions_and_classes_are_measured_beside_the_metrics_of_the_task() -> None:
    measured = task()
    names = set(measured.metrics())
    add_metrics(measured, ["own_metrics.largest_error", "own_metrics.Mae"])
    meters = make_meters(measured)
    assert set(meters) == {"loss", *names, "largest_error", "Mae"}
    prediction, target = torch.randn(7, 1), torch.randn(7, 1)
    for rows in (slice(0, 5), slice(5, 7)):  # batches of different sizes
        measure(meters, measured, prediction[rows], target[rows])
    values = meters.compute()
    expected = (prediction - target).abs().mean()
    torch.testing.assert_close(values["largest_error"], expected)
    torch.testing.assert_close(values["Mae"], expected)


def test_a_function_may_return_a_number_for_each_sample() -> None:
    measured = task()
    add_metrics(measured, ["own_metrics.each_error"])
    meters = make_meters(measured)
    prediction, target = torch.randn(7, 1), torch.randn(7, 1)
    for rows in (slice(0, 5), slice(5, 7)):  # batches of different sizes
        measure(meters, measured, prediction[rows], target[rows])
    torch.testing.assert_close(meters.compute()["each_error"], (prediction - target).abs().mean())
    prediction[3] = torch.nan
    measure(meters, measured, prediction, target)
    assert meters.compute()["each_error"].isnan()


def test_every_set_of_meters_has_new_metrics() -> None:
    measured = task()
    add_metrics(measured, ["own_metrics.Mae"])
    assert make_meters(measured)["Mae"] is not make_meters(measured)["Mae"]


def test_the_headline_is_the_mean_over_the_test_sets() -> None:
    measured = task()
    add_metrics(measured, ["own_metrics.Mae"])
    assert headlines(measured, {"test": {"mse": 1.0, "Mae": 2.0}}) == {"test/mse": 1.0, "test/Mae": 2.0}
    measured.test_names = ["short", "long"]
    assert headlines(measured, {"short": {"Mae": 2.0}, "long": {"Mae": 4.0}})["test/Mae"] == 3.0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module.metric", "cannot be imported"),
        ("own_metrics.missing", "cannot be imported"),
        ("own_metrics.text", "is neither a function"),
        ("own_metrics.Needy", "cannot be built without arguments"),
        ("torch.nn.Linear", "is neither a function"),
        ("own_metrics.loss", "cannot be imported"),
    ],
)
def test_a_path_that_is_not_a_metric_is_refused_by_name(path: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        add_metrics(task(), [path])
    assert f"metrics={path}" in str(error.value)


def test_two_metrics_of_the_same_name_are_refused() -> None:
    with pytest.raises(UserError, match="already"):
        add_metrics(task(), ["own_metrics.Mae", "own_metrics.Mae"])
