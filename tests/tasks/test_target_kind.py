"""``target_kind``: classes at every step, and whole numbers that are no classes."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import Dataset

from bionets.tasks import Classification, CustomData, TaskSpec
from bionets.tasks.checks import check_batch, check_loss
from tests.models.test_lengths import MODELS

N, T, I, K = 40, 6, 3, 4
WORDS = ("rest", "step", "turn")


def recordings(ragged: bool) -> dict[str, list[tuple[float, str]]]:
    """Rows of a number and a word, by recording; the number says which recording and step it is."""
    return {
        f"s{n}": [(100 * n + t + 1.0, WORDS[(n + t * t) % 3]) for t in range(n % T + 1 if ragged else T)]
        for n in range(N)
    }


def write_csv(path: Path, found: dict[str, list[tuple[float, str]]], numbers: dict[str, int] | None = None) -> str:
    """The rows of all recordings, mixed, those of one recording in their order."""
    rows = [[name, *each] for name, steps in found.items() for each in steps]
    places = sorted(range(len(rows)), key=lambda place: (place % 7, place))
    rows = sorted((rows[place] for place in places), key=lambda row: float(row[1]) % 100)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "a", "label"])
        writer.writerows([[name, a, numbers[word] if numbers else word] for name, a, word in rows])
    return str(path)


def steps_of(batch: tuple[Tensor, ...]) -> list[tuple[int, int]]:
    """The valid steps of a batch as pairs of step and sample, in the order of the steps."""
    x, target, *lengths = batch
    ends = lengths[0].tolist() if lengths else [len(x)] * x.shape[1]
    return [(t, b) for t in range(len(x)) for b in range(target.shape[1]) if t < ends[b]]


def naive(prediction: Tensor, batch: tuple[Tensor, ...], weights: Sequence[float] | None = None) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over the valid steps, for predictions ``[T, B, K]``, one step after the other."""
    total, weight, right, count = 0.0, 0.0, 0, 0
    for t, b in steps_of(batch):
        scores, label = prediction[t, b].tolist(), int(batch[1][t, b])
        own = 1.0 if weights is None else weights[label]
        total += own * (math.log(sum(math.exp(score) for score in scores)) - scores[label])
        weight, count = weight + own, count + 1
        right += max(range(len(scores)), key=scores.__getitem__) == label
    return (total / weight if weight else 0.0), right / count


def in_valid_steps(task: CustomData, prediction: Tensor, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """What the loss of a task gets: everything, or with lengths the valid steps."""
    if not task.spec.lengths:
        return prediction, batch[1]
    t, b = zip(*steps_of(batch), strict=True)
    return prediction[list(t), list(b)], batch[1][list(t), list(b)]


@pytest.mark.parametrize("numbers", [None, {"rest": 0, "step": 1, "turn": 2}])
@pytest.mark.parametrize("ragged", [False, True])
def test_rows_of_a_csv_are_read_as_steps_with_a_class_each(
    ragged: bool, numbers: dict[str, int] | None, tmp_path: Path
) -> None:
    found = recordings(ragged)
    path = write_csv(tmp_path / "data.csv", found, numbers)
    task = CustomData(path, targets="label", sequences="id", target_kind="class_every_step", class_weights=[1, 2, 0.5])
    assert task.spec == TaskSpec("sequence_to_sequence", 1, 3, lengths=ragged, classes=True)
    assert task.classes_by_target == {"label": 3 if numbers else WORDS}
    assert (task.monitor, task.mode) == ("val/accuracy", "max")
    seen = 0
    for batch in (*task.train_batches(0), *task.val_dataloader(), *task.test_dataloader()[0]):
        check_batch(task.spec, *batch)
        check_loss(task.loss, task.spec, *batch)
        x, target = batch[:2]
        assert target.shape == x.shape[:2]
        for t, b in steps_of(batch):
            n = int(x[0, b, 0]) // 100
            assert (float(x[t, b, 0]), WORDS[target[t, b]]) == found[f"s{n}"][t]
            seen += 1
        prediction = torch.randn(*x.shape[:2], 3)
        given = in_valid_steps(task, prediction, batch)
        loss, accuracy = naive(prediction, batch, [1, 2, 0.5])
        assert float(task.loss(*given)) == pytest.approx(loss, rel=1e-5)
        assert float(task.metrics()(*given)["accuracy"]) == pytest.approx(accuracy)
        weight = sum([1, 2, 0.5][int(target[step])] for step in steps_of(batch))
        assert task.scored_steps(given[1]) == pytest.approx(weight)
    assert seen == sum(map(len, found.values()))


def saved(path: Path, padding: float, lengths: bool = True, dtype: Any = np.int64) -> str:
    rng = np.random.default_rng(0)
    x, ends = rng.normal(size=(N, T, I)), rng.integers(1, T + 1, N)
    y = rng.integers(0, K, (N, T)).astype(dtype)
    if lengths:
        y[np.arange(T) >= ends[:, None]] = padding
        x[np.arange(T) >= ends[:, None]] = np.nan
    np.savez(path, x=x, y=y, lengths=ends)
    return str(path)


@pytest.mark.parametrize(("padding", "dtype"), [(-100, np.int64), (99, np.int64), (np.nan, np.float32)])
def test_targets_and_inputs_past_the_end_have_no_effect(padding: float, dtype: Any, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"lengths": "lengths", "target_kind": "class_every_step", "standardise": True}
    usual = CustomData(saved(tmp_path / "0.npz", 0), class_weights="balanced", **keys)
    other = CustomData(saved(tmp_path / "1.npz", padding, dtype=dtype), class_weights="balanced", **keys)
    assert usual.spec == other.spec == TaskSpec("sequence_to_sequence", I, K, lengths=True, classes=True)
    for one, two in zip(usual.train_batches(0), other.train_batches(0), strict=True):
        assert torch.equal(one[0], two[0]) and torch.equal(one[2], two[2])
        assert all(one[1][step] == two[1][step] for step in steps_of(one))
    counts = [0] * K
    batch = other.train_data(0)
    for step in steps_of(batch):
        counts[int(batch[1][step])] += 1
    assert other.class_weights is not None
    assert other.class_weights.tolist() == pytest.approx([sum(counts) / (K * count) for count in counts])


@pytest.mark.parametrize("padding", ["absent", "padding"])  # before and after the classes in the order of words
def test_a_word_only_past_the_end_is_not_a_class(padding: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ends = np.arange(N) % T + 1
    y = np.array(["b", "c"])[rng.integers(0, 2, (N, T))]
    expected = CustomData(words(tmp_path / "0.npz", y, ends), lengths="lengths", target_kind="class_every_step")
    y = np.where(np.arange(T) >= ends[:, None], padding, y)
    task = CustomData(words(tmp_path / "1.npz", y, ends), lengths="lengths", target_kind="class_every_step")
    assert task.classes == ("b", "c") and task.spec == expected.spec and task.spec.output_size == 2
    batch, other = task.test_data("test"), expected.test_data("test")
    assert all(batch[1][step] == other[1][step] for step in steps_of(batch))
    columns = task.prediction_columns(torch.rand(len(batch[1][0]), 2), batch[1][0])
    assert set(columns["prediction"]) <= {"b", "c"}


def words(path: Path, y: "np.ndarray[Any, Any]", ends: "np.ndarray[Any, Any]") -> str:
    x = np.random.default_rng(1).normal(size=(N, T, I)).astype(np.float32)
    np.savez(path, x=x, y=y, lengths=ends)
    return str(path)


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_every_family_with_one_output_per_step_learns_classes(name: str, lengths: bool, tmp_path: Path) -> None:
    path = saved(tmp_path / "data.npz", -1, lengths)
    ends = "lengths" if lengths else None
    task = CustomData(path, lengths=ends, target_kind="class_every_step", batch_size=8, test_share=0.3)
    torch.manual_seed(0)
    model = MODELS[name](task.spec)
    model.optimizer = torch.optim.Adam
    silent: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", reload_dataloaders_every_n_epochs=1, enable_model_summary=False, **silent
    )
    trainer.fit(model, datamodule=task)
    trainer.test(model, datamodule=task, verbose=False)
    batch = task.test_data("test")
    with torch.no_grad():
        prediction = model.eval()(batch[0], *batch[2:])
    loss, accuracy = naive(prediction, batch)
    assert model.test_results["test"] == pytest.approx({"loss": loss, "accuracy": accuracy}, rel=1e-4)


def test_classes_of_other_data_have_the_numbers_of_training(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"targets": "label", "sequences": "id", "target_kind": "class_every_step"}
    known = CustomData(write_csv(tmp_path / "data.csv", recordings(True)), **keys).classes_by_target
    constant = {f"s{n}": [(100 * n + t + 1.0, "turn") for t in range(T)] for n in range(N)}
    task = CustomData(write_csv(tmp_path / "other.csv", constant), class_names=known, **keys)
    assert task.spec == TaskSpec("sequence_to_sequence", 1, 3, classes=True)  # not one class for each sequence
    assert task.train_data(0)[1].unique().tolist() == [2]
    constant["s3"][2] = (303.0, "jump")
    with pytest.raises(ValueError, match="has the class jump, which training did not know: rest, step, turn"):
        CustomData(write_csv(tmp_path / "other.csv", constant), class_names=known, **keys)


class Steps(Dataset[tuple[Tensor, list[int]]]):
    """Sequences of 1 to 4 steps and a class for each step, whose names are given as in torchvision."""

    classes = WORDS

    def __len__(self) -> int:
        return 30

    def __getitem__(self, number: int) -> tuple[Tensor, list[int]]:
        steps = number % 4 + 1
        return torch.full((steps, 2), float(number)), [(number + t) % 3 for t in range(steps)]


def test_a_data_set_may_have_classes_at_every_step() -> None:
    task = CustomData(f"{__name__}.Steps", target_kind="class_every_step")
    assert task.spec == TaskSpec("sequence_to_sequence", 2, 3, lengths=True, classes=True)
    assert task.classes_by_target == {"y": WORDS}
    batch = task.train_data(0)
    assert all(int(batch[1][t, b]) == (int(batch[0][0, b, 0]) + t) % 3 for t, b in steps_of(batch))


def test_several_targets_at_every_step_may_be_classes_and_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {"phase": rng.integers(0, K, (N, T)), "count": rng.integers(0, 9, (N, T))}
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(N, T, I)), **arrays)
    kinds: Any = ["class_every_step", "number_every_step"]
    task = CustomData(str(tmp_path / "data.npz"), targets=["phase", "count"], target_kind=kinds)
    assert (task.spec.kind, task.spec.output_size) == ("sequence_to_sequence", K + 1)
    x, target = task.train_data(0)
    prediction = torch.randn(T, x.shape[1], K + 1)
    batch = x, target[..., 0]
    loss, accuracy = naive(prediction[..., :K], batch)
    squares = [float((prediction[t, b, K] - target[t, b, 1]) ** 2) for t, b in steps_of(batch)]
    assert float(task.loss(prediction, target)) == pytest.approx(loss + sum(squares) / len(squares), rel=1e-5)
    found = task.metrics()(prediction, target)
    assert float(found["phase_accuracy"]) == pytest.approx(accuracy)


@pytest.mark.parametrize(
    ("y", "kind", "expected"),
    [
        (np.arange(N) % K, None, "sequence_to_class"),
        (np.arange(N) % K, "class", "sequence_to_class"),
        (np.arange(N)[:, None] % K, "class", "sequence_to_class"),  # a column
        (np.float32(np.arange(N) % K), "class", "sequence_to_class"),
        (np.arange(N) % K, "number", "sequence_to_value"),
        (np.ones((N, T)), "number", "sequence_to_value"),  # as many numbers as steps
        (np.arange(N * T).reshape(N, T) % K, None, "sequence_to_sequence"),
        (np.arange(N * T).reshape(N, T) % K, "number_every_step", "sequence_to_sequence"),
        (np.arange(N * T).reshape(N, T, 1) % K, "class_every_step", "sequence_to_sequence"),
    ],
)
def test_the_kind_of_the_targets_may_be_chosen(y: Any, kind: Any, expected: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((N, T, I)), y=y)
    task = CustomData(str(tmp_path / "data.npz"), target_kind=kind)
    classes = (kind is not None and "class" in kind) or expected.endswith("class")
    assert (task.spec.kind, task.spec.predicts_classes) == (expected, classes)
    assert task.spec.output_size == (K if classes else T if kind == "number" and y.ndim == 2 else 1)
    numbers = sorted(float(each) for part in ("train", "val", "test") for each in task.part(part)[1].flatten())
    assert numbers == sorted(map(float, y.flatten()))


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (np.arange(N), "class_every_step", r"needs targets \[N, T\] or .* got targets \[40\]"),
        (np.zeros((N, T)) + 0.5, "class_every_step", r"needs whole numbers \[N, T\] or words"),
        (np.zeros((N, T, 2)), "class_every_step", r"needs whole numbers \[N, T\] or words"),
        (np.zeros((N, T)), "class", r"needs whole numbers \[N\] or words"),
        (np.arange(N * T).reshape(N, T) % 2 - 1, "class_every_step", "classes must be 0 to K - 1"),
        (np.zeros((N, T)), "class_every_step", "has only the class 0: there must be at least two"),
        (np.ones(N, int), None, "has only the class 1: there must be at least two"),
        (np.arange(N), "classes", "task.target_kind=classes is unknown: choose class, number, class_every_step"),
        (np.arange(N), ["class", "class"], "must be one kind, or one for each of y"),
        (np.array(["a", "b"] * (N // 2))[:, None], None, r"words \[40, 1\]: .*target_kind=class$"),
        (np.array(["a", "b"] * (N * T // 2)).reshape(N, T), None, "differ within a sequence: .*class_every_step"),
        (np.arange(N) * 1000, None, "up to 39000 would be 39001 classes of 40 samples: .*target_kind=number"),
    ],
)
def test_targets_of_another_kind_are_refused(y: Any, kind: Any, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((N, T, I)), y=y)
    with pytest.raises(ValueError, match=message) as error:
        CustomData(str(tmp_path / "data.npz"), target_kind=kind)
    assert "\n" not in str(error.value)


def test_a_label_that_differs_within_a_sequence_is_refused(tmp_path: Path) -> None:
    found = {name: [(a, "rest") for a, _ in steps] for name, steps in recordings(False).items()}
    found["s7"][2] = (703.0, "rset")
    path = write_csv(tmp_path / "data.csv", found)
    with pytest.raises(ValueError, match=r"differ within a sequence: .*target_kind=class_every_step"):
        CustomData(path, targets="label", sequences="id")
    with pytest.raises(ValueError, match="column label differs within the sequence s7"):
        CustomData(path, targets="label", sequences="id", target_kind="class")
    with pytest.raises(ValueError, match="needs numbers, got the words rest, rset"):
        CustomData(path, targets="label", sequences="id", target_kind="number_every_step")


def test_classes_without_weight_do_not_change_the_loss(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((N, T, I)), y=np.arange(N) % 3)
    task = CustomData(str(tmp_path / "data.npz"), class_weights=[0.0, 1.0, 3.0])
    prediction = torch.randn(4, 3, requires_grad=True)
    for target in (torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 0, 0])):
        loss = task.loss(prediction, target)
        (gradient,) = torch.autograd.grad(loss, prediction)
        kept = target > 0
        expected = task.loss(prediction[kept], target[kept]) if kept.any() else torch.zeros(())
        torch.testing.assert_close(loss, expected)
        assert not gradient[~kept].any() and bool(gradient[kept].any()) == bool(kept.any())
    for weights in ([0.0, 0.0, 0.0], [1.0, math.nan, 1.0], [1.0, math.inf, 1.0]):
        with pytest.raises(ValueError, match="class_weights must be 3 numbers of at least 0, not all 0"):
            CustomData(str(tmp_path / "data.npz"), class_weights=weights)


class Parity(Classification):
    """A task of one's own: whether the number of ones so far is odd."""

    spec = TaskSpec("sequence_to_sequence", 1, 2, classes=True)

    def draw(self, split: str, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.randint(2, (T, size, 1), generator=generator)
        return x.float(), x.cumsum(0)[..., 0] % 2


def test_a_user_task_has_loss_and_accuracy_of_classes_at_every_step() -> None:
    task = Parity(train_size=20, val_size=5, test_size=5, batch_size=4, epochs=1)
    batch = task.val_data()
    prediction = nn.functional.one_hot(batch[1], 2) + 0.1 * torch.randn(T, 5, 2)
    prediction[0] = 1 - prediction[0]
    loss, accuracy = naive(prediction, batch)
    assert float(task.loss(prediction, batch[1])) == pytest.approx(loss, rel=1e-5)
    assert float(task.metrics()(prediction, batch[1])["accuracy"]) == pytest.approx(accuracy)
    with pytest.raises(ValueError, match="classes=True is for sequence_to_sequence"):
        TaskSpec("sequence_to_class", 1, 2, classes=True)
