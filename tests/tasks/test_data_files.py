"""What is read from a user's own files, and mistakes in them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bionets.tasks import CustomData
from tests.tasks.test_custom import I, N, T, sequences, write


def test_classes_in_arrays_may_be_words_and_other_keys_are_not_read(tmp_path: Path) -> None:
    x, y = sequences()
    words = np.array(["ant", "bee", "cat", "dog"])
    sensors = np.array(["left", None], dtype=object)  # cannot be loaded without pickle
    np.savez(tmp_path / "data.npz", x=x.numpy(), y=words[y], sensors=sensors)
    task, numbers = CustomData(str(tmp_path / "data.npz")), CustomData(write(tmp_path / "numbers.npz", x, y))
    assert task.classes_by_target == {"y": tuple(words)} and task.spec == numbers.spec
    assert torch.equal(task._y, numbers._y)
    torch.save({"x": x, "y": y, "note": "from the left sensor"}, tmp_path / "data.pt")
    assert torch.equal(CustomData(str(tmp_path / "data.pt"))._y, numbers._y)


def test_lengths_may_be_integers_of_any_type(tmp_path: Path) -> None:
    x, y = sequences()
    for kind in (np.uint8, np.uint16, np.uint64, np.int32):
        lengths = (np.arange(N) % T + 1).astype(kind)
        np.savez(tmp_path / "data.npz", x=x.numpy(), y=y.numpy().astype(kind), lengths=lengths)
        task = CustomData(str(tmp_path / "data.npz"), lengths="lengths")
        assert sorted(int(each) for part in ("train", "val", "test") for each in task.part(part)[2]) == sorted(lengths)


@pytest.mark.parametrize(
    ("arrays", "keys", "message"),
    [
        ({"y": np.array(3)}, {}, r"y must be a non-empty array of real numbers, got torch.int64 \[\]"),
        ({"x": np.zeros((0, T, I)), "y": np.zeros(0, int)}, {}, "x must be a non-empty array"),
        ({"x": np.zeros((N, 0, I))}, {}, "x must be a non-empty array"),
        ({"x": np.zeros((N, T, I), complex)}, {}, "x must be a non-empty array of real numbers, got torch.complex128"),
        ({"x": np.full((N, T, I), "a")}, {}, "x must be an array of numbers, got <U1"),
        ({"x": np.zeros((T, N, I))}, {}, "6 inputs but 40 targets: the first dimension counts samples"),
        ({}, {"inputs": ["x", "z"]}, "several task.inputs are for a CSV"),
        ({}, {"sequences": "id"}, "task.sequences and .* are for a CSV"),
    ],
)
def test_arrays_that_are_no_data_are_refused(
    arrays: dict[str, Any], keys: dict[str, Any], message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "data.npz", **{"x": np.zeros((N, T, I)), "y": np.arange(N) % 3, **arrays})
    with pytest.raises(ValueError, match=message) as error:
        CustomData(str(tmp_path / "data.npz"), **keys)
    assert "\n" not in str(error.value)


def test_the_first_sample_with_a_missing_number_is_named(tmp_path: Path) -> None:
    x, y = sequences()
    x[7, 3, 1] = torch.nan
    with pytest.raises(ValueError, match=r"NaN or infinity in sample 7: .*task.lengths"):
        CustomData(write(tmp_path / "data.npz", x, y))


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("a;b;y\n1;2;0\n", {}, "has no column 'y': it has a;b;y; columns are separated by commas"),
        ("a,y\n1,0\n1,1,5\n", {}, "line 3 has more entries than the header"),
        ("a,y\n1,0\nnan,1\n", {}, "line 3, column a: 'nan' is not a number"),
        ("a,y\n\n1,0\n\nx,1\n", {}, "line 5, column a: 'x' is not a number"),
        ("a,y\n\n1,0\n2,\n", {}, "line 4, column y is empty"),
        ("a,y\n\n1,0.5\n2,x\n", {}, "line 4, column y: 'x' is not a number"),
        ("a,y\n1,0\ninf,1\n", {}, "line 3, column a: 'inf' is not a number"),
        ("a,y\n1,0.5\n2,1.5\n", {"inputs": ["a", "y"]}, "column y is in task.inputs and in task.targets"),
        ("a,y\n1,0\n2,1\n", {"lengths": "a"}, "task.lengths is for files of arrays"),
    ],
)
def test_mistakes_in_a_csv_are_named(text: str, keys: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        CustomData(str(tmp_path / "data.csv"), **keys)


def test_spaces_around_the_names_of_columns_and_sequences_do_not_count(tmp_path: Path) -> None:
    rows = "".join(f"s{n}{' ' * (t % 2)}, {n + t}, {n % 2}\n" for n in range(20) for t in range(4))
    (tmp_path / "data.csv").write_text("id, a, y\n" + rows)
    task = CustomData(str(tmp_path / "data.csv"), sequences="id")
    x, y = task.train_data(0)
    assert x.shape == (4, 16, 1) and not task.spec.lengths
    assert torch.equal(x[0, :, 0].long() % 2, y)
