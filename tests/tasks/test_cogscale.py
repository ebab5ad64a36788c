"""The problems of CogScale: data, scored steps and score are those of the package."""

import json
import os
import subprocess
import sys
from typing import Any

import cogscale
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bionets.models import RecurrentModel
from bionets.models.chunks import loss_in_chunks
from bionets.tasks import CogScale
from bionets.tasks.cogscale import PROBLEMS, UNSCORED

SPLITS = {"train": "train", "val": "valid", "test": "test"}


def data_of(task: CogScale, split: str) -> tuple[Tensor, ...]:
    return {"train": lambda: task.train_data(0), "val": task.val_data, "test": lambda: task.test_data("test")}[split]()


def test_all_problems_of_the_package_are_available() -> None:
    assert sorted(PROBLEMS) == sorted(cogscale.tasks)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_data_and_the_error_are_those_of_the_package(problem: str) -> None:
    task = CogScale(problem, seed=3)
    arrays: dict[str, Any] = cogscale.build_task(problem, "small", seed=3)
    for split, name in SPLITS.items():
        x, target = data_of(task, split)
        truth = arrays[f"Y_{name}"]
        assert x.shape == (truth.shape[1], truth.shape[0], task.spec.input_size)
        assert truth.shape[2] == task.spec.output_size
        if problem != "cross_situation":
            np.testing.assert_array_equal(x.transpose(0, 1), arrays[f"X_{name}"].astype(np.float32))
        prediction = torch.randn(*truth.shape, generator=torch.Generator().manual_seed(0)).transpose(0, 1)
        metric = task.metrics()
        metric.update(prediction, target)
        score = cogscale.compute_score(truth, prediction.transpose(0, 1).numpy(), arrays["category"])
        assert float(metric.compute()["error"]) == pytest.approx(score, rel=1e-5)


@pytest.mark.parametrize("problem", ["simple_copy", "cross_situation", "sinus_forecasting"])
def test_the_loss_is_the_mean_over_the_scored_steps(problem: str) -> None:
    task = CogScale(problem)
    x, target = task.train_data(0)
    prediction = torch.randn(*x.shape[:2], task.spec.output_size, requires_grad=True)
    losses = []
    for t, row in np.ndindex(x.shape[0], x.shape[1]):
        truth, guess = target[t, row], prediction[t, row]
        if bool((truth == UNSCORED).all()):
            continue
        if problem == "simple_copy":
            losses.append(functional.cross_entropy(guess, truth))
        elif problem == "cross_situation":
            losses.append(functional.softplus(guess * (1 - 2 * truth)).mean())
        else:
            losses.append((guess - truth).square().mean())
    expected = torch.stack(losses).mean()
    loss = task.loss(prediction, target)
    torch.testing.assert_close(loss, expected)
    (found,) = torch.autograd.grad(loss, prediction)
    (wanted,) = torch.autograd.grad(expected, prediction)
    torch.testing.assert_close(found, wanted)
    assert not found[(target == UNSCORED).view(*found.shape[:2], -1).all(-1)].any()


def test_a_chunk_without_a_scored_step_has_zero_loss_and_gradient() -> None:
    task = CogScale("simple_copy")
    _, target = task.train_data(0)
    prediction = torch.randn(4, target.shape[1], task.spec.output_size, requires_grad=True)
    loss = task.loss(prediction, target[:4])
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert not gradient.any()


@pytest.mark.parametrize("problem", ["simple_copy", "bracket_matching", "adding_problem"])
@pytest.mark.parametrize("length", [1, 7, None])
def test_the_loss_in_chunks_of_time_is_that_of_the_whole_sequence(problem: str, length: int | None) -> None:
    task = CogScale(problem)
    x, target = next(iter(task.val_dataloader()))
    model = RecurrentModel(task.spec, layer="bionets.layers.BRC", hidden_size=4)
    model.tbptt = length
    torch.testing.assert_close(loss_in_chunks(model, task, x, target), task.loss(model(x), target))


@pytest.mark.parametrize("problem", ["sinus_forecasting", "chaotic_forecasting"])
def test_the_scored_steps_of_the_splits_of_a_forecast_follow_each_other(problem: str) -> None:
    task = CogScale(problem)
    scored = [{int(t) for t in (data_of(task, split)[1][:, 0, 0] != UNSCORED).nonzero()} for split in SPLITS]
    assert all(scored)
    assert max(scored[0]) < min(scored[1]) <= max(scored[1]) < min(scored[2])


@pytest.mark.parametrize("problem", ["simple_copy", "cross_situation", "continuous_postcasting"])
def test_targets_of_unscored_steps_are_empty_in_prediction_columns(problem: str) -> None:
    task = CogScale(problem)
    target = task.val_data()[1][:, 0]
    prediction = torch.randn(len(target), task.spec.output_size)
    columns = task.prediction_columns(prediction, target)
    assert ("probability" in " ".join(columns)) == (problem != "continuous_postcasting")
    for name, column in columns.items():
        if name.startswith("target"):
            truth = target.reshape(len(target), -1)[:, int(name.partition("_")[2] or 1) - 1].tolist()
            shown = [None if each == UNSCORED else each for each in truth]
            assert column == ([each if each is None else str(each) for each in shown] if target.dim() == 1 else shown)


def test_a_label_with_the_probability_one_half_is_predicted() -> None:
    """As all labels are by a network that is silent and has no bias. The table says what the error counts."""
    task = CogScale("cross_situation")
    _, target = task.val_data()
    prediction = torch.zeros(target.shape)
    metric = task.metrics()
    metric.update(prediction, target)
    score = cogscale.compute_score(target.numpy(), prediction.numpy(), "multi_classification")
    assert float(metric.compute()["error"]) == pytest.approx(score, rel=1e-5)
    columns = task.prediction_columns(prediction[-1], target[-1])
    assert all({*column} == {1} for name, column in columns.items() if name.startswith("prediction"))


def test_a_seed_draws_its_own_data() -> None:
    one, same, other = (CogScale("adding_problem", seed=seed).train_data(0)[0] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_the_difficulty_sets_the_size_of_the_training_set() -> None:
    assert CogScale("simple_copy", "medium").train_size == 1000
    assert CogScale("simple_copy").train_size == 100


def test_words_have_the_same_encoding_in_every_process() -> None:
    """The package orders words by iterating over a set, which depends on the hash of strings."""
    code = (
        "from bionets.tasks import CogScale\n"
        "x = CogScale('cross_situation').train_data(0)[0]\n"
        "print((x.argmax(-1) * x.any(-1)).flatten().tolist())"
    )
    other = os.environ | {"PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"}
    found = subprocess.run([sys.executable, "-c", code], env=other, capture_output=True, text=True, check=True).stdout
    x = CogScale("cross_situation").train_data(0)[0]
    assert json.loads(found) == (x.argmax(-1) * x.any(-1)).flatten().tolist()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"problem": "copy"}, "task.problem=copy is unknown: choose sinus_forecasting, "),
        ({"difficulty": "hard"}, "task.difficulty=hard is unknown: choose small, medium, large"),
    ],
)
def test_invalid_values_are_refused(keys: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CogScale(**keys)


def test_a_missing_package_gives_an_error_with_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cogscale", None)
    with pytest.raises(ValueError, match=r'pip install "bionets\[cogscale\]"'):
        CogScale()


def test_the_error_is_nan_if_a_prediction_is() -> None:
    task = CogScale("continuous_postcasting")
    metric = task.metrics()
    for x, target in task.val_dataloader():
        metric.update(torch.zeros(*x.shape[:2], task.spec.output_size), target)
    assert metric.compute()["error"].isfinite()
    prediction = torch.zeros(*x.shape[:2], task.spec.output_size)
    prediction[-1, 0] = torch.nan
    metric.update(prediction, target)
    assert metric.compute()["error"].isnan()
