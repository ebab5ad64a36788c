"""Steps without a label: inputs of the network that count in no loss, metric or weight of a batch."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bionets.tasks import CustomData, TaskSpec
from bionets.tasks.checks import check_batch, check_loss
from bionets.tasks.spec import has_label

N, T, K = 30, 5, 3
WORDS = ("rest", "step", "turn")
Labels = dict[tuple[int, int], float]
"""The label of each labelled step: of sample n, the step t."""


def steps(n: int, ragged: bool) -> int:
    return 2 + n % (T - 1) if ragged else T


def labels(kind: str, ragged: bool = False) -> Labels:
    """Labels of about half of the steps, none in every fifth sequence, and never the last step of a sequence."""
    random = np.random.default_rng(1)
    return {
        (n, t): float(random.integers(K)) if kind.startswith("class") else round(random.normal(), 3)
        for n in range(N)
        for t in range(steps(n, ragged) - 1)
        if n % 5 and random.random() < 0.6
    }


def arrays(kind: str, ragged: bool, missing: float) -> dict[str, np.ndarray[Any, Any]]:
    """The number of the sample and random numbers as inputs; what lies past the end of a sequence is neither input nor
    target."""
    x = np.random.default_rng(0).normal(size=(N, T, 3)).round(3)
    x[..., 0] = np.arange(N)[:, None]
    y = np.full((N, T), missing)
    for step, label in labels(kind, ragged).items():
        y[step] = label
    for n in range(N):
        x[n, steps(n, ragged) :], y[n, steps(n, ragged) :] = np.nan, 2
    lengths = np.array([steps(n, ragged) for n in range(N)])
    return {"x": x, "y": y.astype(np.int64) if missing == -100 else y} | ({"lengths": lengths} if ragged else {})


def write(path: Path, kind: str, ragged: bool, missing: float | str) -> str:
    """The arrays, or if ``missing`` is text a CSV in which it is the label of steps without one."""
    if not isinstance(missing, str):
        np.savez(path.with_suffix(".npz"), **arrays(kind, ragged, missing))
        return str(path.with_suffix(".npz"))
    found, known = arrays(kind, ragged, math.nan), labels(kind, ragged)
    written = (lambda label: WORDS[int(label)]) if kind == "class words" else str
    rows = [
        [n, t, *found["x"][n, t], written(known[n, t]) if (n, t) in known else missing]
        for n in range(N)
        for t in range(steps(n, ragged))
    ]
    with path.with_suffix(".csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "t", "n", "a", "b", "y"], *rows])
    return str(path.with_suffix(".csv"))


class Pairs(Dataset[tuple[Tensor, Any]]):
    """The arrays as pairs; with ``floats``, NaN marks steps without a class among integers in other samples."""

    def __init__(self, kind: str, ragged: bool, missing: float) -> None:
        self.arrays, self.ragged = arrays(kind, ragged, missing), ragged
        self.whole = kind.startswith("class")

    def __len__(self) -> int:
        return N

    def __getitem__(self, n: int) -> tuple[Tensor, Any]:
        ends = steps(n, self.ragged)
        target = self.arrays["y"][n, :ends]
        full = self.whole and not np.isnan(target).any()
        return torch.from_numpy(self.arrays["x"][n, :ends]), [int(each) for each in target] if full else target


def task_of(path: str, kind: str, ragged: bool, missing: float | str, **keys: Any) -> CustomData:
    keys |= {"target_kind": "class_every_step" if kind.startswith("class") else "number_every_step", "val_share": 0.2}
    if path == "Pairs":
        arguments = {"kind": kind, "ragged": ragged, "missing": missing}
        return CustomData(f"{__name__}.Pairs", arguments=arguments, **keys)
    if isinstance(missing, str):
        return CustomData(path, inputs=["n", "a", "b"], sequences="id", **keys)
    return CustomData(path, lengths="lengths" if ragged else None, **keys)


def found_in(batch: tuple[Tensor, ...]) -> Labels:
    """The steps of a batch with a label, one after the other."""
    x, y, *lengths = batch
    found = {}
    for b in range(x.shape[1]):
        for t in range(int(lengths[0][b]) if lengths else T):
            label = float(y[t, b])
            if not (math.isnan(label) or label == -100):
                found[int(x[t, b, 0]), t] = label
    return found


SOURCES = [
    *[("arrays", "class", missing) for missing in (-100, math.nan)],
    ("arrays", "number", math.nan),
    *[("Pairs", "class", missing) for missing in (-100, math.nan)],
    ("Pairs", "number", math.nan),
    *[("csv", kind, missing) for kind in ("class", "class words", "number") for missing in ("", " ")],
]


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("source", "kind", "missing"), SOURCES)
def test_every_source_gives_the_same_labels(source: str, kind: str, missing: Any, ragged: bool, tmp_path: Path) -> None:
    path = "Pairs" if source == "Pairs" else write(tmp_path / "data", kind, ragged, missing)
    task, found, samples = task_of(path, kind, ragged, missing), {}, 0
    classes = kind.startswith("class")
    outputs = K if classes else 1
    assert task.spec == TaskSpec("sequence_to_sequence", 3, outputs, lengths=ragged, classes=classes, unlabelled=True)
    assert task.classes_by_target == {"y": WORDS if kind == "class words" else K if classes else 0}
    for batch in (*task.train_batches(0), *task.val_dataloader(), *task.test_dataloader()[0]):
        check_batch(task.spec, *batch)
        check_loss(task.loss, task.spec, *batch)
        found |= found_in(batch)
        samples += batch[0].shape[1]
    assert samples == N
    assert found == pytest.approx(labels(kind, ragged))


def error(scores: list[float], label: float) -> float:
    """Cross-entropy, or the squared error of one number."""
    if len(scores) == 1:
        return (scores[0] - label) ** 2
    return math.log(sum(map(math.exp, scores))) - scores[int(label)]


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("kind", "weights"), [("class", None), ("class", [1, 2, 0.5]), ("number", None)])
def test_loss_and_metrics_are_means_over_the_steps_with_a_label(
    kind: str, weights: list[float] | None, ragged: bool, tmp_path: Path
) -> None:
    path = write(tmp_path / "data", kind, ragged, math.nan)
    task = task_of(path, kind, ragged, math.nan, class_weights=weights, batch_size=9)
    batches = task.train_batches(0)
    for batch, size in zip(batches, batches.sizes, strict=True):
        prediction = torch.randn(T, batch[0].shape[1], task.spec.output_size)
        place = {int(n): b for b, n in enumerate(batch[0][0, :, 0])}
        scores = [(prediction[t, place[n]].tolist(), label) for (n, t), label in found_in(batch).items()]
        own = [1.0 if weights is None else weights[int(label)] for _, label in scores]
        loss = sum(weight * error(*each) for weight, each in zip(own, scores, strict=True)) / sum(own)
        answers = task.spec.only_scored(prediction, *batch[1:])
        assert float(task.loss(*answers)) == pytest.approx(loss, rel=1e-5)
        assert size == task.scored_steps(answers[1]) == pytest.approx(sum(own))
        metrics = {name: float(value) for name, value in task.metrics()(*answers).items()}
        if kind == "class":
            right = [max(range(K), key=each.__getitem__) == label for each, label in scores]
            assert metrics == pytest.approx({"accuracy": sum(right) / len(right)})
        else:
            absolute = sum(abs(each[0] - label) for each, label in scores) / len(scores)
            assert metrics == pytest.approx({"mse": loss, "mae": absolute}, rel=1e-5)


def test_a_step_without_one_of_its_numbers_has_no_label() -> None:
    target = torch.tensor([[[1.0, 2.0], [1.0, math.nan]], [[math.nan, math.nan], [0.0, 0.0]]])
    assert has_label(target).tolist() == [[True, False], [False, True]]


def test_balanced_class_weights_count_labelled_steps_only(tmp_path: Path) -> None:
    task = task_of(write(tmp_path / "data", "class", True, -100), "class", True, -100, class_weights="balanced")
    counts = [0] * K
    for label in found_in(task.train_data(0)).values():
        counts[int(label)] += 1
    assert task.class_weights is not None
    assert task.class_weights.tolist() == pytest.approx([sum(counts) / (K * count) for count in counts])


def test_the_classes_of_other_data_have_the_numbers_of_training(tmp_path: Path) -> None:
    """The other data have two of three classes, in another order of their numbers."""
    path = write(tmp_path / "data", "class words", True, "")
    table = Path(path).read_text()
    (tmp_path / "other.csv").write_text(table.replace("rest", ""))
    known = task_of(path, "class words", True, "").classes_by_target
    other = task_of(str(tmp_path / "other.csv"), "class words", True, "", class_names=known)
    assert other.spec.output_size == K and other.classes_by_target == known
    expected = {step: label for step, label in labels("class words", True).items() if label != 0}
    found: Labels = {}
    for split in ("train", "val", "test"):
        found |= found_in(other.part(split))
    assert found == expected


def test_all_targets_have_the_same_unlabelled_steps(tmp_path: Path) -> None:
    phase, speed = arrays("class", False, -100), np.random.default_rng(2).normal(size=(N, T, 2))
    missing = phase["y"] == -100
    speed[missing] = np.nan
    keys: dict[str, Any] = {"targets": ["phase", "speed"], "target_kind": ["class_every_step", "number_every_step"]}
    np.savez(tmp_path / "data.npz", x=np.nan_to_num(phase["x"]), phase=phase["y"], speed=speed)
    task = CustomData(str(tmp_path / "data.npz"), val_share=0.2, **keys)
    assert task.spec == TaskSpec("sequence_to_sequence", 3, K + 2, unlabelled=True)
    x, y = task.train_data(0)
    prediction = torch.randn(T, x.shape[1], K + 2, requires_grad=True)
    loss = task.loss(*task.spec.only_scored(prediction, y))
    kept = [(t, b) for b in range(x.shape[1]) for t in range(T) if not missing[int(x[0, b, 0]), t]]
    entropy = [error(prediction[t, b, :K].tolist(), float(y[t, b, 0])) for t, b in kept]
    squares = [float((prediction[t, b, K + o] - y[t, b, 1 + o]) ** 2) for t, b in kept for o in range(2)]
    assert float(loss) == pytest.approx(sum(entropy) / len(entropy) + sum(squares) / len(squares), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert {(t, b) for t, b in (gradient != 0).any(-1).nonzero().tolist()} == set(kept)
    speed[2] = 1.0
    np.savez(tmp_path / "data.npz", x=np.nan_to_num(phase["x"]), phase=phase["y"], speed=speed)
    with pytest.raises(ValueError, match=r"of sample 2 has a label of only some of the targets phase, speed"):
        CustomData(str(tmp_path / "data.npz"), **keys)


some = np.where(np.arange(N * T).reshape(N, T) % 2, np.nan, 1.0)


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (np.full((N, T), -100), "class_every_step", "target_kind=class_every_step: no step has a label"),
        (np.full((N, T), np.nan), "number_every_step", "target_kind=number_every_step: no step has a label"),
        (some, None, r"NaN or infinity in sample 0: .* no label, choose task.target_kind=number_every_step"),
        (some, "number", "NaN or infinity in sample 0"),
        (np.where(np.arange(N) % 2, np.nan, 1.0), "class", "NaN or infinity in sample 1"),
        (np.where(np.arange(N) % 2, np.nan, 1.0), "number", "NaN or infinity in sample 1"),
        (np.arange(N) % 3 - 100, "class", "classes must be 0 to K - 1"),
        (np.where(some == 1, np.inf, 1.0), "number_every_step", "NaN or infinity in sample 0"),
        (np.where(some == 1, -1, 1), "class_every_step", "classes must be 0 to K - 1"),
        (np.where(some == 1, -100, 1), "class_every_step", "has only the class 1: there must be at least two"),
        (np.stack([some, some + 1, np.ones((N, T))], 2), "number_every_step", "step 1 of sample 0 has only some of"),
    ],
)
def test_invalid_missing_labels_are_refused(y: Any, kind: Any, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((N, T, 3)), y=y)
    with pytest.raises(ValueError, match=message) as raised:
        CustomData(str(tmp_path / "data.npz"), target_kind=kind)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("split", "name"), [("train", "training"), ("val", "validation"), ("test", "test")])
def test_a_set_without_a_label_is_refused(split: str, name: str, tmp_path: Path) -> None:
    x = np.zeros((N, T, 1)) + np.arange(N)[:, None, None]
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(N * T).reshape(N, T) % 2)
    task = CustomData(str(tmp_path / "data.npz"), target_kind="class_every_step")
    assert not task.spec.unlabelled
    y = np.arange(N * T).reshape(N, T) % 2
    y[task.part(split)[0][0, :, 0].long().numpy()] = -100
    np.savez(tmp_path / "data.npz", x=x, y=y)
    with pytest.raises(ValueError, match=f"no step of the {name} set has a label: choose another task.split_seed"):
        CustomData(str(tmp_path / "data.npz"), target_kind="class_every_step")


def test_a_number_of_minus_100_is_a_label(tmp_path: Path) -> None:
    for y in (np.full((N, T), -100), np.full((N, T), -100.0)):
        np.savez(tmp_path / "data.npz", x=np.zeros((N, T, 3)), y=y)
        task = CustomData(str(tmp_path / "data.npz"), target_kind="number_every_step")
        assert not task.spec.unlabelled and (task.train_data(0)[1] == -100).all()


@pytest.mark.parametrize("kind", [None, "class", "number"])
def test_empty_cells_are_refused_without_a_target_at_every_step(kind: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "data", "class", True, "")
    with pytest.raises(ValueError, match=r"column y is empty: fill it, or .* choose task.target_kind=class_every_step"):
        CustomData(path, sequences="id", target_kind=kind)
    table = Path(path).read_text().splitlines()
    (tmp_path / "data.csv").write_text("\n".join(row + "nan" * (row[-1] == ",") for row in table))
    with pytest.raises(ValueError, match=r"'nan' is not a number, as others in the column are: .*leave it empty"):
        CustomData(path, sequences="id", target_kind="class_every_step")


def test_unlabelled_is_refused_for_one_target_per_sequence() -> None:
    with pytest.raises(ValueError, match="unlabelled=True is for sequence_to_sequence: leave it out for sequence_to_v"):
        TaskSpec("sequence_to_value", 1, 1, unlabelled=True)


class Mixed(Dataset[tuple[Tensor, Any]]):
    """Sequences of 2 or 3 steps; the targets of the first one are integers, those of the others floats."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, n: int) -> tuple[Tensor, Any]:
        steps = 2 + n % 2
        return torch.full((steps, 1), float(n)), [n + 0.5, math.nan, n][:steps] if n else [0, 0]


def test_targets_may_be_integers_in_one_sample_and_floats_in_another() -> None:
    task = CustomData(f"{__name__}.Mixed", target_kind="number_every_step")
    found: Labels = {}
    for split in ("train", "val", "test"):
        found |= found_in(task.part(split))
    expected = {(n, t): n + 0.5 * (t == 0) for n in range(1, N) for t in (0, 2)[: 1 + n % 2]}
    assert found == expected | {(0, 0): 0.0, (0, 1): 0.0}
